/** A member that is told to stop while it still waits for the others. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freePorts } from '../support/free-ports.ts';
import { quorate } from '../support/quorate.ts';

/** A member without a quorum waits 5 s for one before it serves what it can. */
const waitMs = 5000;

test('a member that has no quorum yet stops at once', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-stop-'));
  const [client, peer, other] = (await freePorts(3)).map((port) => `http://127.0.0.1:${port}`);
  const child = spawn(
    quorate.command,
    [
      ...quorate.arguments,
      '--name=m1',
      `--data-dir=${join(directory, 'm1.etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=m1=${peer},m2=${other}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  try {
    let log = '';
    const exit = once(child, 'exit');
    for await (const chunk of child.stderr) {
      log += String(chunk);
      if (log.includes('cannot receive from peer')) break;
    }
    const askedMs = performance.now();
    child.kill('SIGTERM');
    child.stderr.resume();
    expect(await exit, log).toEqual([0, null]);
    expect(performance.now() - askedMs).toBeLessThan(waitMs / 2);
  } finally {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}, 20_000);
