/** What a member remembers of the founding, on disk. */
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { completion, result } from '../../../src/base/completion.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { type DataDirectory, openDataDirectory } from '../../../src/storage/data-directory.ts';
import {
  decodeFounding,
  encodeFounding,
  type FoundingRecord,
} from '../../../src/storage/founding-file.ts';
import { realClock, temporaryDirectory } from '../../support/engines.ts';

const record: FoundingRecord = {
  life: 2n ** 64n - 1n,
  takesPart: true,
  acquaintances: [
    { member: 2n ** 63n, life: 1n, early: true },
    { member: 3n, life: 2n ** 62n, early: false },
  ],
};

test('comes back as it was, of its own member only', () => {
  const alone = { life: 5n, takesPart: false, acquaintances: [] };
  expect(decodeFounding(encodeFounding(7n, record), 7n)).toEqual(record);
  expect(decodeFounding(encodeFounding(7n, alone), 7n)).toEqual(alone);
  expect(decodeFounding(encodeFounding(7n, record), 8n)).toBeUndefined();
});

test('is not believed with any byte changed, lost or added', () => {
  const text = encodeFounding(7n, record);
  for (let at = 0; at < text.length; at++) {
    for (const byte of ['0', '1', 'f', ' ', ':', '"', '}']) {
      if (text[at] === byte) continue;
      const changed = text.slice(0, at) + byte + text.slice(at + 1);
      expect(decodeFounding(changed, 7n), changed).toBeUndefined();
    }
    expect(decodeFounding(text.slice(0, at), 7n)).toBeUndefined();
  }
  for (const other of ['null', '[]', '{}', '1', `${text} `]) {
    expect(decodeFounding(other, 7n)).toBeUndefined();
  }
});

test('is kept in a data directory, whose loss it shows', async () => {
  const temporary = temporaryDirectory();
  const path = join(temporary.path, 'data');
  const identity = { memberId: 7n, clusterId: 9n };
  const open = (): Promise<DataDirectory> =>
    result((done) =>
      openDataDirectory({ path, clock: realClock, logger: silentLogger, identity }, done),
    );
  const first = await open();
  expect(first.founding).toBeUndefined();
  expect(first.unused).toBe(true);
  first.saveFounding(record);
  expect(first.founding).toEqual(record);
  await completion((done) => first.close(done));

  const again = await open();
  expect(again.founding).toEqual(record);
  const hardState = { term: 1, vote: 7n, commit: 0 };
  await completion((done) => again.raftLog.append({ hardState, entries: [] }, true, done));
  expect(again.unused).toBe(false);
  await completion((done) => again.close(done));

  const file = join(path, 'founding.json');
  appendFileSync(file, 'x');
  const damaged = await open();
  expect(damaged.founding).toBeUndefined();
  await completion((done) => damaged.close(done));

  const text = readFileSync(file);
  rmSync(path, { recursive: true });
  const emptied = await open();
  expect(emptied.founding).toBeUndefined();
  await completion((done) => emptied.close(done));
  for (const name of ['log', 'state-0-0', 'identity.json', 'term.json', 'lock']) {
    rmSync(join(path, name), { recursive: true, force: true });
  }
  expect(existsSync(path)).toBe(true);
  writeFileSync(file, text);
  await expect(open()).rejects.toThrow('has data, but identity.json is missing');
  temporary.remove();
});
