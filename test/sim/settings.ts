/** The configuration that members have beside what a plan varies. */
import { parseConfig } from '../../src/config/parse.ts';

const parsed = parseConfig([], {});
if (parsed.kind !== 'start') throw new Error('the default configuration is refused');

export const defaultConfig = parsed.config;
