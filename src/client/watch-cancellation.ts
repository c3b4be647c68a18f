/** Why a server ended a watch. */
import { StatusCode, etcdErrors } from '../base/errors.ts';
import type { WatchResponse } from '../gen/rpc.ts';
import { ClientError, CompactedError } from './errors.ts';

/** Codes by the names that Go's gRPC has for them, which servers put into reasons. */
const codes: ReadonlyMap<string, StatusCode> = new Map(
  Object.entries(StatusCode).map(([name, code]) => [name.toLowerCase(), code]),
);

const codesByText: ReadonlyMap<string, StatusCode> = new Map(
  Object.values(etcdErrors).map(([code, text]) => [text, code]),
);

/** A response with `canceled` as an error: its text is the server's reason. */
export function cancellationOf(response: WatchResponse): ClientError {
  const { compactRevision, cancelReason } = response;
  const long = /^rpc error: code = (\w+) desc = (.*)$/s.exec(cancelReason);
  const text = long?.[2] ?? cancelReason;
  if (compactRevision !== 0 || text === etcdErrors.compacted[1]) {
    return new CompactedError(compactRevision);
  }
  if (text === '') return new ClientError(...etcdErrors.watchCanceled);
  const code = codes.get((long?.[1] ?? '').replace('Canceled', 'cancelled').toLowerCase());
  return new ClientError(code ?? codesByText.get(text) ?? StatusCode.cancelled, text);
}
