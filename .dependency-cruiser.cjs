// The order of the layers, checked by `npm run lint`: a file imports only from its own layer's
// folders or from lower ones.

/** Folders of src from the bottom up; folders in one row are siblings. */
const layers = [
  ['base', 'gen'],
  ['raft', 'bbolt', 'http2', 'grpc'],
  ['storage'],
  ['mvcc', 'lease', 'auth', 'cluster', 'alarm'],
  ['apply', 'transport', 'schema'],
  ['server'],
  ['api'],
  ['daemon', 'config', 'telemetry', 'snapshot'],
];
const apart = ['client', 'cli'];

const pathOf = (folders) => `^src/(${folders.join('|')})/`;

const upward = layers.slice(0, -1).map((folders, i) => ({
  name: `${folders.join('-')}-imports-nothing-above`,
  severity: 'error',
  from: { path: pathOf(folders) },
  to: { path: pathOf([...layers.slice(i + 1).flat(), ...apart]) },
}));

/** Packages that exactly these files may import. */
const seams = [
  { dependency: 'classic-level', allowed: '^src/storage/level-engine\\.ts$' },
  { dependency: '@grpc/grpc-js', allowed: '^src/client/' },
  { dependency: 'pino', allowed: '^src/telemetry/' },
  { dependency: 'prom-client', allowed: '^src/telemetry/' },
  { dependency: 'commander', allowed: '^src/(config|cli|daemon)/' },
].map(({ dependency, allowed }) => ({
  name: `${dependency}-has-one-place`,
  severity: 'error',
  from: { path: '^src/', pathNot: allowed },
  to: { path: `node_modules/${dependency}/` },
}));

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...upward,
    {
      name: 'raft-is-pure',
      comment: 'The Raft core knows nothing but itself.',
      severity: 'error',
      from: { path: '^src/raft/' },
      to: { pathNot: '^src/raft/' },
    },
    {
      name: 'http2-knows-nothing-of-grpc',
      severity: 'error',
      from: { path: '^src/http2/' },
      to: { path: '^src/grpc/' },
    },
    {
      name: 'base-knows-nothing-of-gen',
      severity: 'error',
      from: { path: '^src/base/' },
      to: { path: '^src/', pathNot: '^src/base/' },
    },
    {
      name: 'client-stands-apart',
      severity: 'error',
      from: { path: '^src/client/' },
      to: { path: '^src/', pathNot: '^src/(client|base|gen)/' },
    },
    {
      name: 'cli-stands-on-client',
      comment: 'Snapshot files are read without a server.',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: { path: '^src/', pathNot: '^src/(cli|client|base|gen|snapshot)/' },
    },
    {
      name: 'nothing-imports-the-cli',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^src/cli/' },
    },
    ...seams,
    {
      name: 'sources-use-no-development-packages',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-unresolvable-imports',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node'] },
  },
};
