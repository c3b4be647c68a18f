/** What was given under older names goes to the flags of today. */
import { gateSetting } from './feature-gates.ts';
import { renamedFlags } from './renamed-flags.ts';
import type { FlagValues } from './values.ts';

/** Flags of which etcd takes both names; the older one wins. */
const underBothNames: ReadonlySet<string> = new Set([
  'experimental-backend-bbolt-freelist-type',
  'experimental-max-learners',
]);

/**
 * @returns an error, in etcd's words, if one is given under both names, or a gate in both ways
 */
export function applyRenamed(values: FlagValues): string | undefined {
  const given = new Set(values.givenNames);
  const gates = values.list('feature-gates');
  for (const { name, successor } of renamedFlags) {
    if (!values.isSet(name)) continue;
    if ('flag' in successor) {
      const { flag } = successor;
      if (given.has(flag) && !underBothNames.has(name)) return bothGiven(name, flag);
      values.set(flag, values.get(name));
      continue;
    }
    const { gate } = successor;
    const setting = gates.findLast((each) => each.startsWith(`${gate}=`));
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

function bothGiven(name: string, flag: string): string {
  return flag === 'warning-unary-request-duration'
    ? `both --${name} and --${flag} flags are set. Use only --${flag}`
    : `cannot set --${name} and --${flag} at the same time, please use --${flag} only`;
}
