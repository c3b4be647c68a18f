/** The Lock and Election services. */
import { fromLatin1 } from '../../../src/base/bytes.ts';
import { Election, KV, Lock } from '../../../src/gen/services.ts';
import type { MethodDefinition } from '../../../src/base/wire.ts';
import { put, range } from '../messages.ts';
import type { Case, Group } from '../pair.ts';
import type { Session } from '../session.ts';
import { CallError } from '../../support/grpc.ts';

const { lock, unlock } = Lock.methods;
const election = Election.methods;
const bytes = fromLatin1;

const script = (name: string, run: (session: Session) => Promise<unknown>): Case => ({
  name,
  run: async (session) => {
    await run(session);
  },
});

const locks: Case[] = [
  script('lock and unlock', async (s) => {
    await s.grant(0x10n, 600);
    const answer = await s.call(lock, { name: bytes('l1'), lease: 0x10n });
    await s.range(range({ key: 'l1', rangeEnd: 'l2' }));
    await s.call(unlock, { key: answer?.key ?? bytes('') });
    await s.range(range({ key: 'l1', rangeEnd: 'l2' }));
    await s.call(unlock, { key: answer?.key ?? bytes('') });
  }),
  script('the same owner again', async (s) => {
    await s.grant(0x11n, 600);
    await s.call(lock, { name: bytes('l2'), lease: 0x11n });
    await s.call(lock, { name: bytes('l2'), lease: 0x11n });
    await s.range(range({ key: 'l2', rangeEnd: 'l3' }));
  }),
  script('a second owner waits for the first', async (s) => {
    await s.grant(0x12n, 600);
    await s.grant(0x13n, 600);
    const first = await s.call(lock, { name: bytes('l3'), lease: 0x12n });
    const second = s.begun(lock, { name: bytes('l3'), lease: 0x13n });
    await s.sleep(200);
    await s.range(range({ key: 'l3', rangeEnd: 'l4' }));
    await s.call(unlock, { key: first?.key ?? bytes('') });
    s.note('Lock', await second);
  }),
  script('a missing lease', (s) => s.call(lock, { name: bytes('l4'), lease: 404n })),
  script('no name', async (s) => {
    await s.grant(0x14n, 600);
    await s.call(lock, { name: bytes(''), lease: 0x14n });
  }),
  script('no lease: the server makes one', async (s) => {
    const answer = await s.call(lock, { name: bytes('l5'), lease: 0n }, { mask: ['key'] });
    await s.call(unlock, { key: answer?.key ?? bytes('') });
  }),
  script('unlock of nothing', (s) => s.call(unlock, { key: bytes('') })),
  script('unlock of any key', async (s) => {
    await s.put(put({ key: 'l6', value: 'x' }));
    await s.call(unlock, { key: bytes('l6') });
    await s.range(range({ key: 'l6' }));
  }),
  script('one who gives up does not stay in the way', async (s) => {
    for (const id of [0x15n, 0x16n, 0x17n]) await s.grant(id, 600);
    const name = bytes('l7');
    const first = await s.call(lock, { name, lease: 0x15n });
    await givenUp(s, lock, { name, lease: 0x16n });
    await s.range(range({ key: 'l7', rangeEnd: 'l8' }));
    const third = s.begun(lock, { name, lease: 0x17n });
    await s.sleep(200);
    await s.call(unlock, { key: first?.key ?? bytes('') });
    s.note('Lock', await third);
  }),
  script('the lease ends before the turn comes', async (s) => {
    await s.grant(0x18n, 600);
    await s.grant(0x19n, 600);
    const name = bytes('l8');
    const first = await s.call(lock, { name, lease: 0x18n });
    const second = outcomeOf(s.begun(lock, { name, lease: 0x19n }));
    await s.sleep(200);
    await s.revoke(0x19n);
    await s.call(unlock, { key: first?.key ?? bytes('') });
    s.note('Lock', await second);
    await s.range(range({ key: 'l8', rangeEnd: 'l9' }));
  }),
  script('the holder loses its lease', async (s) => {
    await s.grant(0x1an, 600);
    await s.grant(0x1bn, 600);
    const name = bytes('l9');
    await s.call(lock, { name, lease: 0x1an });
    const second = s.begun(lock, { name, lease: 0x1bn });
    await s.sleep(200);
    await s.revoke(0x1an);
    s.note('Lock', await second);
  }),
  script('those who wait, in the order of their coming', async (s) => {
    const name = bytes('la');
    const waiting: Promise<{ key: Uint8Array }>[] = [];
    // Neither the order of the leases' ids nor that of their keys.
    for (const id of [0x2fn, 0x1cn, 0x100n, 0x2en]) {
      await s.grant(id, 600);
      waiting.push(s.begun(lock, { name, lease: id }));
      await s.sleep(100);
    }
    for (const one of waiting) {
      const { key } = await one;
      await s.range(range({ key: 'la', rangeEnd: 'lb' }));
      await s.call(unlock, { key });
    }
  }),
];

/** An answer, or the refusal in its place. */
function outcomeOf(call: Promise<object>): Promise<object> {
  return call.catch((error: unknown) => {
    if (!(error instanceof CallError)) throw error;
    return { code: error.code, details: error.details };
  });
}

/** A call that its client cancels while it waits, and the time to take notice. */
async function givenUp<Request extends object>(
  s: Session,
  method: MethodDefinition<Request, object>,
  request: Request,
): Promise<void> {
  await s.client.unary(method, request, { timeoutMs: 300 }).catch(() => undefined);
  await s.sleep(300);
}

const elections: Case[] = [
  script('nobody leads', (s) => s.call(election.leader, { name: bytes('e0') })),
  script('campaign, proclaim, resign', async (s) => {
    await s.grant(0x20n, 600);
    const name = bytes('e1');
    const answer = await s.call(election.campaign, { name, lease: 0x20n, value: bytes('v1') });
    const leader = answer?.leader;
    await s.call(election.leader, { name });
    await s.call(election.proclaim, { leader, value: bytes('v2') });
    await s.call(election.leader, { name });
    await s.call(election.campaign, { name, lease: 0x20n, value: bytes('v3') });
    await s.call(election.leader, { name });
    await s.call(election.resign, { leader });
    await s.call(election.leader, { name });
    await s.call(election.proclaim, { leader, value: bytes('v4') });
    await s.call(election.resign, { leader });
  }),
  script('a successor', async (s) => {
    await s.grant(0x21n, 600);
    await s.grant(0x22n, 600);
    const name = bytes('e2');
    const answer = await s.call(election.campaign, { name, lease: 0x21n, value: bytes('a') });
    const second = s.begun(election.campaign, { name, lease: 0x22n, value: bytes('b') });
    await s.sleep(200);
    await s.call(election.leader, { name });
    await s.call(election.resign, { leader: answer?.leader });
    s.note('Campaign', await second);
    await s.call(election.leader, { name });
  }),
  script('observers', async (s) => {
    await s.grant(0x23n, 600);
    const name = bytes('e3');
    const answer = await s.call(election.campaign, { name, lease: 0x23n, value: bytes('a') });
    const observer = s.client.serverStream(election.observe, { name });
    s.note('Observe', await observer.next());
    await s.call(election.proclaim, { leader: answer?.leader, value: bytes('b') });
    s.note('Observe', await observer.next());
    observer.cancel();
  }),
  script('observers of nobody, and of one after the other', async (s) => {
    const name = bytes('e5');
    const observer = s.client.serverStream(election.observe, { name });
    await s.sleep(200);
    await s.grant(0x30n, 600);
    await s.grant(0x31n, 600);
    const request = { name, lease: 0x30n, value: bytes('a') };
    const first = await s.call(election.campaign, request);
    s.note('Observe', await observer.next());
    const second = s.begun(election.campaign, { ...request, lease: 0x31n });
    await s.sleep(200);
    await s.call(election.resign, { leader: first?.leader });
    const { leader } = await second;
    s.note('Observe', await observer.next());
    await s.call(election.proclaim, { leader, value: bytes('again') });
    s.note('Observe', await observer.next());
    observer.cancel();
  }),
  script('a candidate that gives up', async (s) => {
    await s.grant(0x32n, 600);
    await s.grant(0x33n, 600);
    const name = bytes('e6');
    await s.call(election.campaign, { name, lease: 0x32n, value: bytes('a') });
    await givenUp(s, election.campaign, { name, lease: 0x33n, value: bytes('b') });
    await s.range(range({ key: 'e6', rangeEnd: 'e7' }));
  }),
  script('the lease ends before the turn comes', async (s) => {
    await s.grant(0x36n, 600);
    await s.grant(0x37n, 600);
    const request = { name: bytes('e9'), lease: 0x36n, value: bytes('a') };
    const first = await s.call(election.campaign, request);
    const second = outcomeOf(s.begun(election.campaign, { ...request, lease: 0x37n }));
    await s.sleep(200);
    await s.revoke(0x37n);
    await s.call(election.resign, { leader: first?.leader });
    s.note('Campaign', await second);
    await s.call(election.leader, { name: request.name });
  }),
  script('leaderships that are not', async (s) => {
    await s.grant(0x34n, 600);
    const name = bytes('e7');
    const answer = await s.call(election.campaign, { name, lease: 0x34n, value: bytes('a') });
    const leader = answer?.leader;
    if (leader === undefined) return;
    await s.call(election.proclaim, { leader: { ...leader, rev: 1 }, value: bytes('b') });
    await s.call(election.resign, { leader: { ...leader, rev: 1 } });
    await s.call(election.proclaim, { leader: { ...leader, lease: 404n }, value: bytes('b') });
    await s.call(election.proclaim, { leader: { ...leader, key: bytes('') }, value: bytes('b') });
    await s.call(election.resign, { leader: { ...leader, key: bytes('') } });
    await s.call(election.leader, { name });
  }),
  script('no lease: the server makes one', async (s) => {
    const name = bytes('e8');
    const mask = ['key', 'lease'];
    const request = { name, lease: 0n, value: bytes('a') };
    const answer = await s.call(election.campaign, request, { mask });
    const leader = answer?.leader;
    if (leader === undefined) return;
    await s.call(election.proclaim, { leader: { ...leader, lease: 0n }, value: bytes('b') });
    await s.call(election.leader, { name }, { mask });
    await s.call(election.resign, { leader });
  }),
  script('no name, no value', async (s) => {
    await s.grant(0x35n, 600);
    const request = { name: bytes(''), lease: 0x35n, value: bytes('') };
    const answer = await s.call(election.campaign, request);
    await s.call(election.leader, { name: bytes('') });
    await s.call(election.resign, { leader: answer?.leader });
  }),
  script('missing fields', async (s) => {
    await s.call(election.proclaim, { leader: undefined, value: bytes('b') });
    await s.call(election.resign, { leader: undefined });
    await s.call(election.campaign, { name: bytes('e4'), lease: 404n, value: bytes('b') });
  }),
  script('a service and a method that do not exist', async (s) => {
    const method = { ...KV.methods.range, path: '/etcdserverpb.KV/Nothing' };
    await s.call(method, range({ key: 'a' }));
    await s.call({ ...method, path: '/nothing.Nothing/Range' }, range({ key: 'a' }));
  }),
];

export const concurrencyGroups: readonly Group[] = [
  { name: 'lock', cases: locks },
  { name: 'election', cases: elections },
];
