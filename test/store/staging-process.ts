/** A process that stages bytes in the folder it is told, and commits them on request. */
import { once } from 'node:events';
import { openStore } from '../../src/store/store.ts';
import { bytesOf, digestFor } from './named-bytes.ts';

const store = await openStore({ path: process.argv[2] ?? '', keepFreeBytes: 0 });
const stage = await store.stage({});
await stage.write(bytesOf('theirs'));
console.log('staged');
await once(process.stdin, 'data');
await stage.commit(digestFor('theirs'));
console.log('committed');
