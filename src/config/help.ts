/** Texts of --help and --version. */
import type { FlagDefinition, FlagSupport } from './flag.ts';
import { commandFlags, flagSections } from './flag-table.ts';
import { renamedFlags } from './renamed-flags.ts';
import { ETCD_VERSION, QUORATE_VERSION } from '../base/versions.ts';

export function usageText(): string {
  return [
    'Usage:',
    '',
    '  quorate [flags]',
    '    Start a server.',
    '',
    '  quorate --version',
    '    Show the version.',
    '',
    '  quorate -h | --help',
    '    Show every flag.',
    '',
    '  quorate --config-file <path>',
    '    Take all settings from a YAML file; other flags and the environment are ignored.',
  ].join('\n');
}

function flagText(flag: FlagDefinition): string {
  return `  --${flag.name} '${flag.fallback}'\n    ${flag.help}`;
}

function namesWith(reason: string, flags: readonly FlagDefinition[]): string {
  const same = flags.filter(({ help }) => help === reason);
  return same.map(({ name }) => `    --${name}`).join('\n');
}

/** Flags without effect are named in one list, so that the others are found. */
export function helpText(): string {
  const parts = [usageText()];
  for (const section of flagSections) {
    const used = section.flags.filter((flag) => flag.support === 'used');
    if (used.length > 0) parts.push([`${section.title}:`, ...used.map(flagText)].join('\n'));
  }
  parts.push(['Command line:', ...commandFlags.map(flagText)].join('\n'));
  const named = (support: FlagSupport): string => {
    const flags = flagSections.flatMap((section) =>
      section.flags.filter((flag) => flag.support === support),
    );
    const reasons = [...new Set(flags.map(({ help }) => help))];
    return reasons.map((reason) => `  ${reason}\n${namesWith(reason, flags)}`).join('\n');
  };
  parts.push(`Accepted for compatibility, without effect, because:\n${named('ignored')}`);
  parts.push(`Refused unless at their default, because:\n${named('refused')}`);
  const renamed = renamedFlags.map(({ name, help }) => `  --${name}: ${help}`);
  parts.push(['Older names, which still work:', ...renamed].join('\n'));
  parts.push('Every flag may come from the environment: --max-txn-ops is ETCD_MAX_TXN_OPS.');
  return parts.join('\n\n');
}

export function versionText(): string {
  return [
    `Quorate Version: ${QUORATE_VERSION}`,
    `etcd Version: ${ETCD_VERSION}`,
    `Node Version: ${process.version}`,
    `OS/Arch: ${process.platform}/${process.arch}`,
  ].join('\n');
}
