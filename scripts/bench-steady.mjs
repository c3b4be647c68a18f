// `npm run bench:steady`: whether members under half load hold more and more, in
// docs/benchmarks-steady.md. `npm run bench:steady -- --help` lists its options.
import { buildBench, commit, root } from './prepare.mjs';

buildBench();
const { benchSteady } = await import('../build/test/bench/steady/main.js');
process.exitCode = await benchSteady(process.argv.slice(2), { root, commit });
