/** Framed tables, of members and endpoints only. */
import type { MemberListResponse } from '../../gen/rpc.ts';
import type { SnapshotStatus } from '../../snapshot/status.ts';
import {
  BasePrinter,
  type EndpointHash,
  type EndpointHealth,
  type EndpointStatus,
} from './printer.ts';
import { type Rows, hashRows, healthRows, memberRows, snapshotRows, statusRows } from './rows.ts';

/** Characters, not code units: what a terminal shows in one place each. */
const widthOf = (text: string): number => Array.from(text).length;

const right = (text: string, width: number): string => ' '.repeat(width - widthOf(text)) + text;

function centered(text: string, width: number): string {
  const gap = width - widthOf(text);
  const left = Math.floor(gap / 2);
  return ' '.repeat(left) + text + ' '.repeat(gap - left);
}

/** Lines of the table: the header in capitals and centred, the cells to the right. */
export function tableLines({ header, rows }: Rows): string[] {
  const titles = header.map((title) => title.replaceAll(/[_.]/g, ' ').toUpperCase());
  const widths = titles.map((title, column) =>
    Math.max(widthOf(title), ...rows.map((row) => widthOf(row[column] ?? ''))),
  );
  const rule = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+`;
  const line = (cells: readonly string[], align: (text: string, width: number) => string): string =>
    `| ${widths.map((width, i) => align(cells[i] ?? '', width)).join(' | ')} |`;
  return [rule, line(titles, centered), rule, ...rows.map((row) => line(row, right)), rule];
}

export class TablePrinter extends BasePrinter {
  override readonly format = 'table';

  override memberList(response: MemberListResponse): void {
    this.#table(memberRows(response));
  }

  override endpointHealth(list: readonly EndpointHealth[]): void {
    this.#table(healthRows(list));
  }

  override endpointStatus(list: readonly EndpointStatus[]): void {
    this.#table(statusRows(list));
  }

  override endpointHash(list: readonly EndpointHash[]): void {
    this.#table(hashRows(list));
  }

  override snapshotStatus(status: SnapshotStatus): void {
    this.#table(snapshotRows(status));
  }

  #table(rows: Rows): void {
    for (const line of tableLines(rows)) this.terminal.line(line);
  }
}
