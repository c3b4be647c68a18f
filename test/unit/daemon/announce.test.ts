import { expect, test } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { announce } from '../../../src/daemon/announce.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const announcement = { name: 'm1', clientUrls: ['http://127.0.0.1:2379'] };

/** Lets promises that are settled by now get their turn. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

test('a refusal that comes at once leaves time for other work before the next try', async () => {
  const clock = new VirtualClock();
  let tries = 0;
  const member = {
    id: 1n,
    ended: false,
    server: {
      request: () => {
        tries++;
        return tries < 3 ? Promise.reject(new Error('too many requests')) : Promise.resolve();
      },
    },
  };
  let announced = false;
  void announce(member, announcement, { clock, logger: silentLogger }).then(() => {
    announced = true;
  });
  await settle();
  expect(tries).toBe(1);
  for (let i = 0; i < 2; i++) {
    clock.advance(200);
    await settle();
  }
  expect([tries, announced]).toEqual([3, true]);
});

test('a member that has failed gives up', async () => {
  const clock = new VirtualClock();
  let tries = 0;
  const member = {
    id: 1n,
    ended: false,
    server: {
      request: () => {
        tries++;
        member.ended = true;
        return Promise.reject(new Error('stopped'));
      },
    },
  };
  await announce(member, announcement, { clock, logger: silentLogger });
  expect(tries).toBe(1);
});
