// `npm run bench:account`: what a request costs, by stage, in docs/benchmarks-account.md.
// `npm run bench:account -- --help` lists its options.
import { buildBench, commit, root } from './prepare.mjs';

buildBench();
const { benchAccount } = await import('../build/test/bench/account/main.js');
process.exitCode = await benchAccount(process.argv.slice(2), { root, commit });
