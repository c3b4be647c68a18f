// `npm run proof`: runs simulation, planted mistakes, real processes under faults, damage, power
// cuts and fuzzing, and writes docs/proof.md. `npm run proof -- --help` lists its options.
import { buildProof, commit, isSame, root } from './prepare.mjs';

buildProof();
const { proof } = await import('../build/test/proof/main.js');
process.exitCode = await proof(process.argv.slice(2), { root, commit, isSame });
