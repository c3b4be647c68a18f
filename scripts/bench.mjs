// `npm run bench`: measures clusters of Quorate, and of etcd where it is installed, and writes
// docs/benchmarks.md. `npm run bench -- --help` lists its options.
import { buildBench, commit, root } from './prepare.mjs';

buildBench();
const { bench } = await import('../build/test/bench/main.js');
process.exitCode = await bench(process.argv.slice(2), { root, commit });
