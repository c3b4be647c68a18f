/** The values of --feature-gates: etcd's gates, and what is true here whatever they say. */
import { parseBoolean, quote, type Parsed } from '../base/go-values.ts';
import type { Metrics } from '../base/metrics.ts';

export interface FeatureGate {
  readonly name: string;
  /** In etcd 3.6. */
  readonly stage: 'ALPHA' | 'BETA';
  /** What the member does, whether the gate asks for it or not; undefined: it is all the same. */
  readonly always?: boolean;
  /** Whether another value than `always` is refused and not just warned of. */
  readonly refused?: boolean;
  readonly reason: string;
}

/** Those of etcd 3.6. */
export const featureGates: readonly FeatureGate[] = [
  {
    name: 'CompactHashCheck',
    stage: 'ALPHA',
    always: false,
    reason: 'States are compared after every entry, whether or not history is compacted.',
  },
  {
    name: 'InitialCorruptCheck',
    stage: 'ALPHA',
    always: false,
    reason: 'At a start every file is checked; states are compared once entries are applied.',
  },
  {
    name: 'LeaseCheckpoint',
    stage: 'ALPHA',
    always: true,
    reason: 'What long leases have left is always noted in the log.',
  },
  {
    name: 'LeaseCheckpointPersist',
    stage: 'ALPHA',
    always: true,
    reason: 'What long leases have left is always noted in the log.',
  },
  {
    name: 'SetMemberLocalAddr',
    stage: 'ALPHA',
    always: false,
    refused: true,
    reason: 'The system chooses the address from which other members are called.',
  },
  {
    name: 'StopGRPCServiceOnDefrag',
    stage: 'ALPHA',
    always: false,
    reason: 'A member serves on while it is defragmented.',
  },
  { name: 'TxnModeWriteWithSharedBuffer', stage: 'BETA', reason: 'There is no such buffer.' },
  {
    name: 'AllAlpha',
    stage: 'ALPHA',
    always: false,
    refused: true,
    reason: 'Name the gates one by one.',
  },
  { name: 'AllBeta', stage: 'BETA', reason: 'No gate of this kind changes anything here.' },
];

const gatesByName: ReadonlyMap<string, FeatureGate> = new Map(
  featureGates.map((gate) => [gate.name, gate]),
);

/** Reads `Gate=true,Other=false`; the errors are etcd's. */
export function parseFeatureGates(text: string): Parsed<readonly string[]> {
  const settings: string[] = [];
  for (const part of text.split(',').map((each) => each.trim())) {
    if (part === '') continue;
    const [name = '', value] = part.split('=').map((each) => each.trim());
    if (value === undefined) return { error: `missing bool value for ${name}` };
    const parsed = parseBoolean(value);
    if ('error' in parsed) {
      const reason = `strconv.ParseBool: parsing ${quote(value)}: invalid syntax`;
      return { error: `invalid value of ${name}=${value}, err: ${reason}` };
    }
    if (!gatesByName.has(name)) return { error: `unrecognized feature gate: ${name}` };
    settings.push(gateSetting(name, parsed.value));
  }
  return { value: settings };
}

export function gateSetting(name: string, value: boolean): string {
  return `${name}=${value}`;
}

/** The settings, as {@link parseFeatureGates} gives them, that a member does not keep to. */
export function unkeptGates(settings: readonly string[]): FeatureGate[] {
  return featureGates.filter(
    ({ name, always }) => always !== undefined && settings.includes(gateSetting(name, !always)),
  );
}

/** Shows which features a member has, whatever its gates say: none of them changes that. */
export function exportFeatureGates(metrics: Metrics): void {
  const enabled = metrics.gauge(
    'etcd_server_feature_enabled',
    '1 if the member has the feature, else 0.',
    ['name', 'stage'],
  );
  for (const { name, stage, always } of featureGates) {
    enabled(name, stage).set(always === true ? 1 : 0);
  }
}
