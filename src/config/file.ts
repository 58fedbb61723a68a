/** Which file is the configuration. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Environment } from './source.ts';

/** What runs when nobody says otherwise. */
export const defaultFile: string = fileURLToPath(new URL('../../config/default.yaml', import.meta.url));

/** The file that is meant: the one named, else LARDER_CONFIG, else the default. */
export function configFile(file: string | undefined, environment: Environment): string {
  return resolve(file || environment.LARDER_CONFIG || defaultFile);
}
