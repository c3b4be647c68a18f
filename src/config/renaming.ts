/** What was given under older names goes to the flags of today. */
import { gateSetting } from './feature-gates.ts';
import { renamedFlags } from './renamed-flags.ts';
import type { FlagValues } from './values.ts';

/**
 * Where both names are given, the older one wins, as in etcd.
 * @returns an error, in etcd's words, if a gate is set in both ways
 */
export function applyRenamed(values: FlagValues): string | undefined {
  const given = values.list('feature-gates');
  for (const { name, successor } of renamedFlags) {
    if (!values.isSet(name)) continue;
    if ('flag' in successor) {
      values.set(successor.flag, values.get(name));
      continue;
    }
    const { gate } = successor;
    const setting = given.findLast((each) => each.startsWith(`${gate}=`));
    if (setting !== undefined) {
      const other = `--feature-gates=${setting}`;
      return (
        `cannot specify both flags: --${name}=${values.boolean(name)} and ${other} ` +
        `at the same time, please just use ${other}`
      );
    }
    const settings = values.list('feature-gates');
    values.set('feature-gates', [...settings, gateSetting(gate, values.boolean(name))]);
  }
  return undefined;
}
