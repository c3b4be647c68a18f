/** `version`: of this program, and of the API that it speaks. */
import { CLUSTER_VERSION, QUORATE_VERSION } from '../../base/versions.ts';
import type { CommandDefinition } from '../command.ts';

export const versionCommand: CommandDefinition = {
  name: 'version',
  usage: '',
  summary: 'Print the version of kvctl',
  description: 'The version of a server is part of `kvctl endpoint status`.',
  flags: [],
  run(_line, { terminal }): Promise<void> {
    terminal.line(`kvctl version: ${QUORATE_VERSION}`);
    terminal.line(`API version: ${CLUSTER_VERSION.replace(/\.\d+$/, '')}`);
    return Promise.resolve();
  },
};
