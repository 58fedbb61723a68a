/** The npm registry that npm is configured with here; its address is only ever held in memory. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** With a slash at the end. */
export async function registryUrl(): Promise<string> {
  const { stdout } = await promisify(execFile)('npm', ['config', 'get', 'registry']);
  const url = stdout.trim();
  return url.endsWith('/') ? url : `${url}/`;
}
