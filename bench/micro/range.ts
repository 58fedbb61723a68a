/** Reading a Range header. */
import { parseRange } from '../../src/core/range.ts';
import { measure } from './measure.ts';

const size = 200_000_000;
for (const header of [undefined, 'bytes=0-', 'bytes=1000000-1999999', 'bytes=-500', 'bytes=0-1,5-9', 'lines=1-2']) {
  measure(`range ${header ?? '(none)'}`, () => parseRange(header, size));
}
