/** Blame that the simulator once laid wrongly; the seeds that showed it mean other plans by now. */
import { expect, test } from 'vitest';
import type { RawNode } from '../../../src/raft/index.ts';
import { Oracle, Witness } from '../../sim/oracle.ts';
import { drawPlan, type Plan } from '../../sim/plan.ts';
import { simulate } from '../../sim/simulation.ts';

/** A core of which the log's terms are `terms`, from index 1 on. */
function nodeOf(term: number, terms: readonly number[], committed: number): RawNode {
  const log = { committed, firstIndex: () => 1, term: (index: number) => terms[index - 1] };
  return { core: { term, log } } as unknown as RawNode;
}

function seen(inTerm: number): Oracle {
  const oracle = new Oracle();
  oracle.commits('m1', nodeOf(inTerm, [1, inTerm], 2), 0);
  return oracle;
}

test('a leader elected late in an old term need not have what a newer term committed', () => {
  const oracle = seen(3);
  oracle.leads(new Witness(oracle, 'm2'), nodeOf(2, [1], 1));
  expect(oracle.elections).toBe(1);
});

test('a leader must have what older terms committed', () => {
  const oracle = seen(2);
  expect(() => oracle.leads(new Witness(oracle, 'm2'), nodeOf(3, [1], 1))).toThrow(
    'm2 leads in term 3 and has undefined at index 2, where term 2 is committed',
  );
});

test('a leader that stood still before it was cut off is not blamed for leading on', async () => {
  const drawn = drawPlan(4);
  const plan: Plan = {
    ...drawn,
    members: 3,
    newer: [],
    clockRates: [1, 1, 1],
    clients: drawn.clients.map((client) => ({ ...client, member: undefined })),
    watchers: [],
    membership: undefined,
    faults: [
      { atMs: 3_000, forMs: 8_000, fault: { kind: 'pause', target: 0 } },
      { atMs: 3_000, forMs: 8_000, fault: { kind: 'isolate', target: 0 } },
      { atMs: 3_000, forMs: 8_000, fault: { kind: 'pause', target: 1 } },
      { atMs: 3_000, forMs: 8_000, fault: { kind: 'isolate', target: 1 } },
      { atMs: 3_000, forMs: 8_000, fault: { kind: 'pause', target: 2 } },
      { atMs: 3_000, forMs: 8_000, fault: { kind: 'isolate', target: 2 } },
    ],
    chaosMs: 12_000,
  };
  const { breaches } = await simulate(plan);
  expect(breaches).toEqual([]);
});
