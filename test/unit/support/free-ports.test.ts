/** Ports of tests that run at the same time. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freePorts, reservePort } from '../../support/free-ports.ts';

const folder = join(tmpdir(), `quorate-ports-${userInfo().uid}`);

test('no port is given twice, and somebody can listen there', async () => {
  const ports = (await Promise.all([freePorts(20), freePorts(20)])).flat();
  expect(new Set(ports).size).toBe(40);
  for (const port of ports) {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    await new Promise((resolve) => server.close(resolve));
  }
});

test('that of another process is its own until it has ended', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()']);
  const [port = 0] = await freePorts(1);
  // No port of Linux, so that no other test is disturbed.
  const number = 100_000 + port;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, String(number)), String(child.pid));
  expect(reservePort(number)).toBe(false);
  expect(reservePort(number)).toBe(false);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  // What it has left is removed first.
  expect(reservePort(number)).toBe(false);
  expect(reservePort(number)).toBe(true);
  expect(existsSync(join(folder, String(number)))).toBe(true);
});
