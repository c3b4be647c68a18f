import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { Listening } from '../../../src/http2/listening.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

function listening(): { clock: VirtualClock; socket: { isPaused: boolean }; ear: Listening } {
  const clock = new VirtualClock();
  const socket = {
    isPaused: false,
    pause: () => (socket.isPaused = true),
    resume: () => (socket.isPaused = false),
  };
  return { clock, socket, ear: new Listening(socket as unknown as Socket, clock) };
}

test('who does not read is listened to once a second', () => {
  const { clock, socket, ear } = listening();
  for (let i = 0; i < 3; i++) {
    ear.pause();
    clock.advance(500);
    // What comes meanwhile changes nothing.
    ear.pause();
    clock.advance(499);
    expect(socket.isPaused).toBe(true);
    clock.advance(1);
    expect(socket.isPaused).toBe(false);
  }
});

test('who reads again is listened to at once', () => {
  const { clock, socket, ear } = listening();
  ear.pause();
  clock.advance(900);
  ear.resume();
  expect(socket.isPaused).toBe(false);
  ear.pause();
  clock.advance(999);
  expect(socket.isPaused).toBe(true);
});

test('nothing is kept back from one that ends', () => {
  const { clock, socket, ear } = listening();
  ear.pause();
  ear.stop();
  expect([socket.isPaused, clock.pending]).toEqual([false, 0]);
  ear.pause();
  expect([socket.isPaused, clock.pending]).toEqual([false, 0]);
});
