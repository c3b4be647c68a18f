/** What a member says of itself at /metrics. */
import type { MemberProcess } from './cluster-process.ts';

export async function metricsOf(
  { clientUrl }: MemberProcess,
  signal?: AbortSignal,
): Promise<string> {
  const response = await fetch(`${clientUrl}/metrics`, signal === undefined ? {} : { signal });
  return response.text();
}

/** The value of a metric without labels; undefined if there is none. */
export function metricIn(text: string, name: string): string | undefined {
  return new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1];
}

/** Hash of the whole logical state. */
export function stateHashIn(text: string): string {
  const half = (name: string): string => metricIn(text, `quorate_state_hash_${name}`) ?? '';
  return `${half('high')}:${half('low')}`;
}
