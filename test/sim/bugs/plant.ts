/**
 * Makes a copy of simulator and server with one bug in it. Copies lie within the project, so that
 * they find its packages, and hold what the TypeScript compiler makes of each file by itself.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { patched, type PlantedBug } from './bug.ts';

/** What a run consists of beside the server, which is taken as it was built. */
const folders = ['test/sim', 'test/check'];

function compilerOptions(root: string): ts.CompilerOptions {
  const path = join(root, 'tsconfig.base.json');
  const { config } = ts.readConfigFile(path, (name) => readFileSync(name, 'utf8')) as {
    readonly config: { readonly compilerOptions: object };
  };
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
  return {
    ...options,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    declaration: false,
    declarationMap: false,
    sourceMap: false,
  };
}

function javascript(options: ts.CompilerOptions, file: string, text: string): string {
  const { outputText, diagnostics = [] } = ts.transpileModule(text, {
    compilerOptions: options,
    fileName: file,
    reportDiagnostics: true,
  });
  const [first] = diagnostics;
  if (first === undefined) return outputText;
  throw new Error(`${file}: ${ts.flattenDiagnosticMessageText(first.messageText, ' ')}`);
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Puts everything, as it is, into a directory. The server must have been built. */
export function buildSound(root: string, directory: string): void {
  const options = compilerOptions(root);
  rmSync(directory, { recursive: true, force: true });
  cpSync(join(root, 'dist'), join(directory, 'src'), {
    recursive: true,
    filter: (path) => !path.endsWith('.map') && !path.endsWith('.d.ts'),
  });
  for (const folder of folders) {
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      const file = join(folder, name);
      const target = join(directory, file);
      if (name.endsWith('.json')) write(target, readFileSync(join(root, file), 'utf8'));
      if (!name.endsWith('.ts') || name.endsWith('.d.ts')) continue;
      const text = readFileSync(join(root, file), 'utf8');
      write(target.replace(/\.ts$/, '.js'), javascript(options, file, text));
    }
  }
}

/** The files that a bug changes, with their text after it. @throws if a patch does not fit */
export function changedFiles(root: string, bug: PlantedBug): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const edit of bug.edits) {
    const text = texts.get(edit.file) ?? readFileSync(join(root, edit.file), 'utf8');
    texts.set(edit.file, patched(bug, edit, text));
  }
  return texts;
}

/** Copies a sound build and plants the bug in the copy. Returns the path of its worker. */
export function plant(root: string, sound: string, directory: string, bug: PlantedBug): string {
  const options = compilerOptions(root);
  rmSync(directory, { recursive: true, force: true });
  cpSync(sound, directory, { recursive: true });
  for (const [file, text] of changedFiles(root, bug)) {
    write(join(directory, file.replace(/\.ts$/, '.js')), javascript(options, file, text));
  }
  return join(directory, 'test', 'sim', 'worker.js');
}
