#!/usr/bin/env node
'use strict';
// Where Node keeps compiled code between runs, a command starts sooner.
require('node:module').enableCompileCache?.();
import('../dist/cli/main.js').then(
  ({ main }) => main(),
  (error) => {
    process.stderr.write(`kvctl: cannot start: ${error.message}\n`);
    process.exit(1);
  },
);
