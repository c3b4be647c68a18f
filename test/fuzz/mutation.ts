/** Damage to valid input: what a decoder may meet that nobody wrote. */
import fc from 'fast-check';

/** Those that leave all else in its place are more often: they get past the first check. */
const kinds = [
  'flipBit',
  'flipBit',
  'flipBit',
  'setByte',
  'setByte',
  'setWord',
  'insert',
  'remove',
  'repeat',
  'truncate',
  'zero',
  'swap',
  'append',
] as const;

/** Bytes at which decoders of lengths, tags and flags take another way. */
const edgeBytes = [0, 1, 2, 0x7f, 0x80, 0xff];
const edgeWords = [0, 1, 0x7f, 0xff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** One change. Places are relative, so that it fits input of any length. */
export interface Edit {
  readonly kind: (typeof kinds)[number];
  /** In [0, 1): of the input's length. */
  readonly at: number;
  readonly to: number;
  readonly value: number;
  readonly length: number;
}

const two32 = 0x1_0000_0000;
/** Even over the length, which fc.double is not. */
const place = fc.nat(two32 - 1).map((value) => value / two32);

export const edit: fc.Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom(...kinds),
  at: place,
  to: place,
  value: fc.nat(0xffff_ffff),
  length: fc.integer({ min: 1, max: 40 }),
});

/** One change mostly: many at once only find out that nothing is checked. */
export const edits: fc.Arbitrary<readonly Edit[]> = fc.oneof(
  { weight: 3, arbitrary: edit.map((one) => [one]) },
  { weight: 1, arbitrary: fc.array(edit, { minLength: 2, maxLength: 5, size: 'max' }) },
);

function apply(bytes: Buffer, { kind, at, to, value, length }: Edit): Buffer {
  const from = Math.floor(at * bytes.length);
  const end = Math.min(from + length, bytes.length);
  const other = Math.floor(to * bytes.length);
  const [head, span, tail] = [
    bytes.subarray(0, from),
    bytes.subarray(from, end),
    bytes.subarray(end),
  ];
  const filler = Buffer.alloc(length, value & 0xff);
  const changed = Buffer.from(bytes);
  switch (kind) {
    case 'flipBit':
      if (bytes.length > 0) changed[from] = (changed[from] ?? 0) ^ (1 << (value & 7));
      return changed;
    case 'setByte':
      if (bytes.length > 0) changed[from] = edgeBytes[value % edgeBytes.length] ?? 0;
      return changed;
    case 'setWord':
      if (from + 4 <= bytes.length) {
        changed.writeUInt32LE(edgeWords[value % edgeWords.length] ?? 0, from);
      }
      return changed;
    case 'insert':
      return Buffer.concat([head, filler, span, tail]);
    case 'remove':
      return Buffer.concat([head, tail]);
    case 'repeat':
      return Buffer.concat([head, span, span, tail]);
    case 'truncate':
      return head;
    case 'zero':
      return changed.fill(0, from, end);
    case 'swap':
      span.copy(changed, Math.min(other, bytes.length - span.length));
      return changed;
    case 'append':
      return Buffer.concat([bytes, filler]);
  }
}

/** The input after all changes; possibly what it was. The original is left alone. */
export function mutate(bytes: Uint8Array, changes: readonly Edit[]): Buffer {
  return changes.reduce<Buffer>(apply, Buffer.from(bytes));
}

/** Characters that mean something in command lines, grammars, configuration or URLs. */
const edgeTexts = ['"', "'", '\\', '`', '--', '=', ',', ':', '[', '{', '\n', '\0', '0x', '_', '%'];

/** The same for text: changes to its characters, and some of those that grammars look for. */
export function mutateText(text: string, changes: readonly Edit[]): string {
  let result = text;
  for (const { kind, at, value, length } of changes) {
    const from = Math.floor(at * result.length);
    const edge = edgeTexts[value % edgeTexts.length] ?? '';
    const unit = String.fromCharCode(value & 0xffff);
    if (kind === 'truncate') result = result.slice(0, from);
    else if (kind === 'remove') result = result.slice(0, from) + result.slice(from + length);
    else if (kind === 'repeat') result = result.slice(0, from + length) + result.slice(from);
    else if (kind === 'flipBit') result = result.slice(0, from) + unit + result.slice(from + 1);
    else result = result.slice(0, from) + edge + result.slice(from);
  }
  return result;
}
