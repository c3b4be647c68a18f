/** The Lock and Election services. */
import { fromLatin1 } from '../../../src/base/bytes.ts';
import { Election, KV, Lock } from '../../../src/gen/services.ts';
import { range } from '../messages.ts';
import type { Case, Group } from '../pair.ts';
import type { Session } from '../session.ts';

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
];

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
