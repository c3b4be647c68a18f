/**
 * Plays the transcripts in test/scripts/raft. Each file names a scenario and states in its
 * comments what must come out; `npx vitest run test/scripts -u` records the output anew.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseTranscript, rerunTranscript } from '../support/datadriven.ts';
import { RaftScript } from '../support/raft-script.ts';

const folder = join(import.meta.dirname, 'raft');

describe('Raft transcripts', () => {
  const names = readdirSync(folder).filter((name) => name.endsWith('.txt'));
  test.each(names.sort())('%s', async (name) => {
    const path = join(folder, name);
    const script = new RaftScript();
    const transcript = parseTranscript(readFileSync(path, 'utf8'));
    const printed = rerunTranscript(transcript, (command) => script.run(command));
    await expect(printed).toMatchFileSnapshot(path);
  });
});
