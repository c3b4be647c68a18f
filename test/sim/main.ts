import { drawPlan } from './plan.ts';
import { simulate } from './simulation.ts';
const from = Number(process.argv[2] ?? 1);
const to = Number(process.argv[3] ?? from);
const log = process.argv[4] === '--log';
const t0 = performance.now();
for (let seed = from; seed <= to; seed++) {
  const t = performance.now();
  const r = await simulate(drawPlan(seed), log ? { line: (l) => console.log(l) } : {});
  console.log(
    `seed ${seed} ${r.hash} ${r.counts} ms=${(performance.now() - t).toFixed(0)} virtual=${(r.virtualMs / 1000).toFixed(1)}s events=${r.events} ops=${r.answered}/${r.operations} el=${r.elections} cmp=${r.statesCompared} w=${r.watchEvents} msgs=${r.messages} faults=${JSON.stringify(r.faults)}`,
  );
  for (const b of r.breaches) console.log('  BREACH', b.rule, b.text, b.atMs);
}
console.log(((performance.now() - t0) / 1000).toFixed(1), 's');
