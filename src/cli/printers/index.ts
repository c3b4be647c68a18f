/** Output formats by their names. */
import type { Terminal } from '../terminal.ts';
import { FieldsPrinter } from './fields.ts';
import { JsonPrinter } from './json.ts';
import type { Printer, PrinterOptions } from './printer.ts';
import { ProtobufPrinter } from './protobuf.ts';
import { SimplePrinter } from './simple.ts';
import { TablePrinter } from './table.ts';

const printers = {
  simple: SimplePrinter,
  fields: FieldsPrinter,
  json: JsonPrinter,
  protobuf: ProtobufPrinter,
  table: TablePrinter,
} as const;

/** The printer of that name, undefined if there is none. */
export function printerFor(
  format: string,
  terminal: Terminal,
  options: PrinterOptions,
): Printer | undefined {
  if (!Object.hasOwn(printers, format)) return undefined;
  return new printers[format as keyof typeof printers](terminal, options);
}
