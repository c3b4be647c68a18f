/**
 * What Quorate does not serve yet, by service or method, as gRPC names it in its refusal.
 *
 * A case that meets such a refusal from us is skipped and says so; one that meets a refusal not
 * listed here fails. Shorten the list as services come; an entry that is served is without effect.
 */
export const pending: readonly string[] = ['etcdserverpb.Auth'];

const unimplemented = 12;

/** The listed service or method that an outcome says is unknown, if it does. */
export function pendingIn(code: number, details: string): string | undefined {
  if (code !== unimplemented) return undefined;
  const [, method, service] = /^unknown (?:method (\S+) for )?service (\S+)$/.exec(details) ?? [];
  return pending.find((name) => name === (method ?? service));
}
