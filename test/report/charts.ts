/** The kinds of charts on the page, from rows of figures. */
import { colours, element, headHeight, label, picture, widthOf } from './svg.ts';

const width = 800;
const rowHeight = 20;
const margin = 16;
const gap = 10;
/** Room at the right for the figure behind a bar. */
const valueWidth = 70;

interface Heading {
  readonly title: string;
  readonly subtitle: string;
}

function labelWidth(labels: readonly string[]): number {
  return margin + Math.max(0, ...labels.map((text) => widthOf(text))) + gap;
}

export interface Bar {
  readonly label: string;
  readonly value: number;
}

/** A bar for each row, the longest first. */
export function barChart(heading: Heading, rows: readonly Bar[]): string {
  const sorted = rows.toSorted((a, b) => b.value - a.value);
  const left = labelWidth(sorted.map((row) => row.label));
  const room = width - left - valueWidth - margin;
  const most = Math.max(1, ...sorted.map(({ value }) => value));
  const content = sorted.flatMap((row, i) => {
    const y = headHeight + i * rowHeight;
    const length = Math.max(1, (row.value / most) * room);
    const bar = { x: left, y: y + 3, width: length, height: rowHeight - 6, fill: colours.blue };
    const value = row.value.toLocaleString('en');
    return [
      label(left - gap, y + rowHeight / 2, row.label, { anchor: 'end' }),
      element('rect', bar),
      label(left + length + 6, y + rowHeight / 2, value, { fill: colours.quiet }),
    ];
  });
  const height = headHeight + sorted.length * rowHeight + margin;
  return picture({ ...heading, width, height }, content);
}

export interface Dots {
  readonly label: string;
  readonly values: readonly number[];
  /** Said in place of dots, where there is nothing to show. */
  readonly instead?: string;
}

export interface DotAxis {
  /** Powers of ten from and to which the axis goes. */
  readonly from: number;
  readonly to: number;
  readonly unit: string;
  readonly tick: (value: number) => string;
}

/** Dots on an axis of powers of ten, rows as given. */
export function dotChart(heading: Heading, axis: DotAxis, rows: readonly Dots[]): string {
  const left = labelWidth(rows.map((row) => row.label));
  const right = width - margin - 30;
  const [low, high] = [Math.log10(axis.from), Math.log10(axis.to)];
  const at = (value: number): number => {
    const share = (Math.log10(Math.max(axis.from, value)) - low) / (high - low);
    return left + share * (right - left);
  };
  const top = headHeight + 18;
  const bottom = top + rows.length * rowHeight;
  const content: string[] = [];
  for (let power = low; power <= high + 1e-9; power++) {
    const x = at(10 ** power);
    content.push(
      element('line', { x1: x, x2: x, y1: top, y2: bottom, stroke: colours.grid }),
      label(x, headHeight + 8, axis.tick(10 ** power), { anchor: 'middle', fill: colours.quiet }),
      label(x, bottom + 10, axis.tick(10 ** power), { anchor: 'middle', fill: colours.quiet }),
    );
  }
  content.push(label(right, bottom + 28, axis.unit, { anchor: 'end', fill: colours.quiet }));
  for (const [i, row] of rows.entries()) {
    const y = top + (i + 0.5) * rowHeight;
    const line = { x1: left, x2: right, y1: y, y2: y, stroke: colours.grid };
    content.push(label(left - gap, y, row.label, { anchor: 'end' }), element('line', line));
    for (const value of row.values) {
      const dot = { cx: at(value), cy: y, r: 4.5, fill: colours.blue, 'fill-opacity': '0.75' };
      content.push(element('circle', dot));
    }
    if (row.instead !== undefined) {
      const style = { anchor: 'end', weight: 'bold', fill: colours.red } as const;
      content.push(label(right, y, row.instead, style));
    }
  }
  return picture({ ...heading, width, height: bottom + 28 + margin }, content);
}

/** Colours and order of the segments of all bars. */
export type Legend = readonly (readonly [name: string, colour: string])[];

export interface StackedBar {
  readonly label: string;
  /** By name in the legend. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Panels side by side with the same rows; each bar says what became of the cases of its row. */
export function stackedChart(
  heading: Heading,
  legend: Legend,
  panels: readonly { readonly title: string; readonly rows: readonly StackedBar[] }[],
): string {
  const labels = panels[0]?.rows.map((row) => row.label) ?? [];
  const left = labelWidth(labels);
  const panelWidth = (width - left - margin) / Math.max(1, panels.length);
  const room = panelWidth - 2 * gap;
  const totalOf = ({ counts }: StackedBar): number =>
    Object.values(counts).reduce((sum, count) => sum + count, 0);
  const most = Math.max(1, ...panels.flatMap(({ rows }) => rows.map(totalOf)));
  const top = headHeight + 46;
  const content: string[] = [];
  let x = left;
  for (const [name, colour] of legend) {
    const box = { x, y: headHeight + 2, width: 12, height: 12, fill: colour };
    content.push(element('rect', box), label(x + 17, headHeight + 8, name));
    x += 17 + widthOf(name) + 18;
  }
  for (const [i, text] of labels.entries()) {
    content.push(label(left - gap, top + (i + 0.5) * rowHeight, text, { anchor: 'end' }));
  }
  for (const [number, { title, rows }] of panels.entries()) {
    const begin = left + number * panelWidth;
    content.push(label(begin, top - 12, title, { weight: 'bold' }));
    for (const [i, row] of rows.entries()) {
      let from = begin;
      for (const [name, fill] of legend) {
        const count = row.counts[name] ?? 0;
        if (count === 0) continue;
        const length = (count / most) * room;
        const y = top + i * rowHeight;
        const box = { x: from, y: y + 3, width: length - 1, height: rowHeight - 6, fill };
        const style = { anchor: 'middle', size: 10, fill: colours.paper } as const;
        content.push(
          element('rect', box),
          label(from + (length - 1) / 2, y + rowHeight / 2, String(count), style),
        );
        from += length;
      }
    }
  }
  const height = top + labels.length * rowHeight + margin;
  return picture({ ...heading, width, height }, content);
}
