/** Output formats by their names, each loaded when it is asked for. */
import type { Terminal } from '../terminal.ts';
import type { Printer, PrinterOptions } from './printer.ts';

type PrinterClass = new (terminal: Terminal, options: PrinterOptions) => Printer;

const printers: Readonly<Record<string, () => Promise<PrinterClass>>> = {
  simple: async () => (await import('./simple.ts')).SimplePrinter,
  fields: async () => (await import('./fields.ts')).FieldsPrinter,
  json: async () => (await import('./json.ts')).JsonPrinter,
  protobuf: async () => (await import('./protobuf.ts')).ProtobufPrinter,
  table: async () => (await import('./table.ts')).TablePrinter,
};

/** The printer of that name, undefined if there is none. */
export async function printerFor(
  format: string,
  terminal: Terminal,
  options: PrinterOptions,
): Promise<Printer | undefined> {
  const load = Object.hasOwn(printers, format) ? printers[format] : undefined;
  return load && new (await load())(terminal, options);
}
