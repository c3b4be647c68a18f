#!/usr/bin/env node
'use strict';
// libuv reads the size of its thread pool once, at first use, which is before any ES module can
// run: hence this launcher. Log, state database and file system share the threads; with fewer, a
// compaction could make a sync of the log wait.
process.env.UV_THREADPOOL_SIZE ??= '16';
import('../dist/daemon/main.js').then(
  ({ main }) => main(),
  (error) => {
    process.stderr.write(`quorate: cannot start: ${error.message}\n`);
    process.exit(1);
  },
);
