/** Texts of --help and --version. */
import { commandFlags, flagSections, type FlagDefinition } from './flag-table.ts';
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

/** Flags without effect are named in one list, so that the others are found. */
export function helpText(): string {
  const parts = [usageText()];
  for (const section of flagSections) {
    const used = section.flags.filter((flag) => flag.support === 'used');
    if (used.length > 0) parts.push([`${section.title}:`, ...used.map(flagText)].join('\n'));
  }
  parts.push(['Command line:', ...commandFlags.map(flagText)].join('\n'));
  const named = (support: string): string =>
    flagSections
      .flatMap((section) => section.flags)
      .filter((flag) => flag.support === support)
      .map((flag) => `  --${flag.name}`)
      .join('\n');
  parts.push(`Accepted for compatibility, without effect:\n${named('ignored')}`);
  parts.push(`Refused unless at their default:\n${named('refused')}`);
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
