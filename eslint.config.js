import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * Layers 1 to 6, but for `raft`, take time, chance and deferral from their constructor's arguments,
 * so that the simulator can replay a run from its seed. Anything else that differs is banned.
 */
const replayable = [
  'bbolt',
  'http2',
  'grpc',
  'storage',
  'mvcc',
  'lease',
  'auth',
  'cluster',
  'alarm',
  'apply',
  'transport',
  'schema',
  'server',
  'api',
];

const timeAndChance = 'Take a Clock or Random as a constructor argument instead (src/base).';
const bannedGlobals = [
  'Date',
  'performance',
  'crypto',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'Intl',
  'WeakRef',
  'FinalizationRegistry',
].map((name) => ({ name, message: timeAndChance }));

/** Functions whose results may differ between engines, and sources of time and chance. */
const bannedProperties = [
  ...['random', 'sin', 'cos', 'tan', 'exp', 'expm1', 'log', 'log2', 'log10', 'log1p', 'pow'].map(
    (property) => ({ object: 'Math', property }),
  ),
  { object: 'process', property: 'nextTick' },
  { object: 'process', property: 'hrtime' },
  { object: 'AbortSignal', property: 'timeout' },
].map((banned) => ({ ...banned, message: timeAndChance }));

const bannedImports = [
  { name: 'node:timers' },
  { name: 'node:timers/promises' },
  { name: 'node:perf_hooks' },
  { name: 'node:stream' },
  {
    name: 'node:crypto',
    importNames: [
      'randomBytes',
      'randomInt',
      'randomUUID',
      'randomFill',
      'randomFillSync',
      'getRandomValues',
      'webcrypto',
    ],
  },
].map((banned) => ({ ...banned, message: timeAndChance }));

export default defineConfig(
  globalIgnores(['dist/', 'build/', 'src/gen/', 'coverage/', 'node_modules/']),
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      // A name on both sides is how a message's type and its codec belong together.
      '@typescript-eslint/no-redeclare': 'off',
      // An index into a typed array or a list that was just checked is `as number`, not a branch.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: true },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_' },
      ],
      '@typescript-eslint/unified-signatures': 'off',
      '@typescript-eslint/require-await': 'off',
      eqeqeq: 'error',
      'no-console': 'error',
      'no-warning-comments': ['error', { terms: ['todo', 'fixme', 'xxx', 'hack'] }],
      'max-params': ['error', 8],
      'no-empty': ['error', { allowEmptyCatch: false }],
    },
  },
  {
    files: replayable.map((folder) => `src/${folder}/**/*.ts`),
    rules: {
      'no-restricted-globals': ['error', ...bannedGlobals],
      'no-restricted-properties': ['error', ...bannedProperties],
      'no-restricted-imports': ['error', { paths: bannedImports }],
    },
  },
  {
    // Bytes of connections come when the system likes: what stands between is not replayed.
    files: ['src/http2/**/*.ts', 'src/api/http/**/*.ts', 'src/api/grpc/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { paths: bannedImports.filter(({ name }) => name !== 'node:stream') },
      ],
    },
  },
  {
    files: ['src/raft/**/*.ts'],
    rules: {
      'no-restricted-globals': ['error', 'Date', 'Promise', 'Intl', 'WeakRef'],
      'no-restricted-properties': ['error', ...bannedProperties],
      'no-restricted-syntax': [
        'error',
        { selector: 'AwaitExpression', message: 'The core is synchronous.' },
        { selector: ':function[async=true]', message: 'The core is synchronous.' },
      ],
    },
  },
  {
    // Commands print; that is what they are for.
    files: ['src/cli/**/*.ts', 'src/daemon/**/*.ts', 'examples/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['test/**/*.ts', 'vitest.config.ts'],
    rules: {
      'no-console': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-empty-function': 'off',
    },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    languageOptions: {
      globals: {
        AbortController: 'readonly',
        Buffer: 'readonly',
        URL: 'readonly',
        clearTimeout: 'readonly',
        console: 'readonly',
        module: 'writable',
        performance: 'readonly',
        process: 'readonly',
        require: 'readonly',
        setTimeout: 'readonly',
        fetch: 'readonly',
      },
    },
  },
);
