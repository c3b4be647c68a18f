/** Header fields: those that blocks name by number, and the list of a request or an answer. */

/** A field as tables keep it. */
export class HeaderField {
  readonly name: string;
  /** Bytes as Latin-1. */
  readonly value: string;
  /** What is wrong with it in a request, if anything is (RFC 9113 section 8.2). */
  readonly fault: string | undefined;
  readonly #nameFault: string | undefined;

  /** @param like one with the same name, which is looked at only once */
  constructor(name: string, value: string, like?: HeaderField) {
    this.name = name;
    this.value = value;
    this.#nameFault = like === undefined ? faultOfName(name) : like.#nameFault;
    this.fault = this.#nameFault ?? faultOfValue(name, value);
  }

  /** What it weighs in a table or a list (RFC 7541 section 4.1). */
  get weight(): number {
    return this.name.length + this.value.length + fieldOverheadBytes;
  }
}

export const fieldOverheadBytes = 32;

/** Section 8.2.2: they belong to connections of HTTP/1. */
const connectionSpecific: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
]);
/** RFC 9110 section 5.6.2 without upper case; a pseudo-header begins with a colon. */
const validName = /^:?[a-z0-9!#$%&'*+\-.^_`|~]+$/;
const forbiddenInValue = /[\0\r\n]/;
const validStatus = /^[1-5]\d\d$/;

function faultOfName(name: string): string | undefined {
  if (!validName.test(name)) return 'invalid field name';
  return connectionSpecific.has(name) ? 'field of a connection' : undefined;
}

function faultOfValue(name: string, value: string): string | undefined {
  if (forbiddenInValue.test(value)) return 'invalid field value';
  if (name === 'te' && value !== 'trailers') return 'te other than trailers';
  return undefined;
}

function isRegular({ name, fault }: HeaderField): boolean {
  return fault === undefined && !name.startsWith(':');
}

/** The fields of a request or an answer, in their order. Two may share one list. */
export class HeaderList {
  readonly #fields: readonly HeaderField[];
  /** As it counts (section 10.5.1). */
  readonly weight: number;
  /** Of the pseudo-headers (section 8.3.1); empty if a list has none. */
  readonly method: string;
  readonly scheme: string;
  readonly path: string;
  /** Why the list is none of a request; undefined if it is. */
  readonly fault: string | undefined;

  constructor(fields: readonly HeaderField[], weight: number) {
    this.#fields = fields;
    this.weight = weight;
    let [method, scheme, path, authority]: (string | undefined)[] = [];
    let regular = 0;
    let fault: string | undefined;
    for (const field of fields) {
      const { name, value } = field;
      fault ??= field.fault;
      if (!name.startsWith(':')) {
        regular++;
        continue;
      }
      if (regular > 0) fault ??= 'pseudo-header after a field';
      if (name === ':path' && path === undefined) path = value;
      else if (name === ':method' && method === undefined) method = value;
      else if (name === ':scheme' && scheme === undefined) scheme = value;
      else if (name === ':authority' && authority === undefined) authority = value;
      else fault ??= 'unknown or repeated pseudo-header';
    }
    this.method = method ?? '';
    this.scheme = scheme ?? '';
    this.path = path ?? '';
    if (!this.method || !this.scheme || !this.path) fault ??= 'pseudo-header missing';
    this.fault = fault;
  }

  /** Whether the list may follow a body (section 8.1). */
  get areTrailers(): boolean {
    return this.#fields.every(isRegular);
  }

  /** Whether the list may begin an answer (section 8.3.2). */
  get isAnswer(): boolean {
    const [status, ...rest] = this.#fields;
    return status?.name === ':status' && validStatus.test(status.value) && rest.every(isRegular);
  }

  /** The first value of a field, its name in lower case. */
  get(name: string): string | undefined {
    for (const field of this.#fields) if (field.name === name) return field.value;
    return undefined;
  }
}

/** RFC 7541 appendix A: names and values by index. */
const staticText = `
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`;

/** The first has index 1. */
export const staticTable: readonly HeaderField[] = staticText
  .trim()
  .split('\n')
  .map((line) => {
    const space = line.indexOf(' ');
    return space < 0
      ? new HeaderField(line, '')
      : new HeaderField(line.slice(0, space), line.slice(space + 1));
  });
