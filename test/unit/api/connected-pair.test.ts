import { once } from 'node:events';
import { connect, Server } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { connectedPair } from '../../../src/api/http/connected-pair.ts';

describe('a connected pair', () => {
  test('carries bytes both ways and ends together', async () => {
    const [near, far] = await connectedPair();
    near.write('there');
    expect(String((await once(far, 'data'))[0])).toBe('there');
    far.write('back');
    expect(String((await once(near, 'data'))[0])).toBe('back');
    const closed = once(far, 'close');
    near.destroy();
    await closed;
  });

  test('has no other end than its own', async () => {
    const listen = vi.spyOn(Server.prototype, 'listen');
    const making = connectedPair();
    const server = listen.mock.contexts[0] as Server;
    listen.mockRestore();
    // Listeners of an earlier registration run first: the stranger is there before the pair.
    let stranger;
    server.once('listening', () => {
      stranger = connect((server.address() as { port: number }).port, '127.0.0.1');
      stranger.on('error', () => undefined);
    });
    const [near, far] = await making;
    expect(far.remotePort).toBe(near.localPort);
    expect(far.localPort).toBe(near.remotePort);
    await once(stranger as unknown as NodeJS.EventEmitter, 'close');
    near.destroy();
    far.destroy();
  });
});
