// `npm run bench:scale`: what many keys cost Quorate, beside etcd where it is installed, in
// docs/benchmarks-scale.md. `npm run bench:scale -- --help` lists its options.
import { buildBench, commit, root } from './prepare.mjs';

buildBench();
const { benchScale } = await import('../build/test/bench/scale/main.js');
process.exitCode = await benchScale(process.argv.slice(2), { root, commit });
