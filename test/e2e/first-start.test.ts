/** Members whose start goes wrong half-way. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { completion, result } from '../../src/base/completion.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { systemClock } from '../../src/daemon/system-clock.ts';
import {
  type DataDirectory,
  openDataDirectory,
  readIdentity,
} from '../../src/storage/data-directory.ts';
import { PutRequest } from '../../src/gen/rpc.ts';
import { KV } from '../../src/gen/services.ts';
import { GrpcClient } from '../support/grpc.ts';
import { startQuorate } from '../support/quorate.ts';

const timeoutMs = 120_000;

test(
  'a first start that a crash cut short is made up for by the next',
  { timeout: timeoutMs },
  async () => {
    const cluster = await startQuorate();
    try {
      const member = cluster.members[0];
      if (member === undefined) throw new Error('no member');
      await member.stop();
      const identity = readIdentity(member.dataDir);
      rmSync(member.dataDir, { recursive: true });
      // The directory is made before the cluster's founders are written into it.
      const directory = await result<DataDirectory>((done) => {
        openDataDirectory(
          { path: member.dataDir, clock: systemClock, logger: silentLogger, identity },
          done,
        );
      });
      await completion((done) => directory.close(done));
      await member.start();
      await member.ready();
    } finally {
      await cluster.stop();
    }
  },
);

test(
  'a disk that fails before the member could announce itself ends it',
  { timeout: timeoutMs },
  async () => {
    const cluster = await startQuorate({ members: 3, mayEnd: true });
    try {
      const [member, other] = cluster.members;
      if (member === undefined || other === undefined) throw new Error('no members');
      await member.stop();
      const client = new GrpcClient(other.address);
      const request = PutRequest.create({ key: utf8('k'), value: new Uint8Array(100_000) });
      await client.unary(KV.methods.put, request, { timeoutMs: 60_000 });
      client.close();
      await member.start();
      const child = member.process;
      if (child === undefined) throw new Error('no process');
      const exited = once(child, 'exit');
      // Linux lets a process limit how large the files become that it writes: a disk that has room
      // for opening the databases, and not for what the leader sends.
      execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=16384:unlimited']);
      expect(await exited).toEqual([1, null]);
      expect(await readFile(member.logPath, 'utf8')).toContain('a write failed');
    } finally {
      await cluster.stop();
    }
  },
);
