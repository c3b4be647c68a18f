/** What pages that are written by programs are made of. */

/** A table in Markdown. */
export function table(
  heads: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const line = (cells: readonly (string | number)[]): string =>
    `| ${cells.map((cell) => cellText(cell)).join(' | ')} |\n`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('');
}

function cellText(cell: string | number): string {
  if (typeof cell === 'number') return grouped(cell);
  return cell.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

/** A number with its thousands apart. */
export function grouped(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: 1 });
}

export function image(name: string, description: string): string {
  return `![${description}](${name})\n`;
}
