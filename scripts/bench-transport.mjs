// `npm run bench:transport`: how many messages a second two members exchange on loopback.
// `npm run bench:transport -- --help` lists its options.
import { buildBench } from './prepare.mjs';

buildBench();
const { benchTransport } = await import('../build/test/bench/transport.js');
process.exitCode = await benchTransport(process.argv.slice(2));
