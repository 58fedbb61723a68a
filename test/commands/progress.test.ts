import { describe, expect, it } from 'vitest';
import { bar, startProgress, type Terminal } from '../../src/commands/progress.ts';

describe('a bar', () => {
  it.each([
    [0, 10, 80, 'Work [........................................]   0 % 0 of 10'],
    [5, 10, 80, 'Work [####################....................]  50 % 5 of 10'],
    [10, 10, 80, 'Work [########################################] 100 % 10 of 10'],
    [0, 0, 80, 'Work [########################################] 100 % 0 of 0'],
    [5, 10, 34, 'Work [######......]  50 % 5 of 10'],
    [5, 10, 20, 'Work  50 % 5 of 10'],
  ])('of %i of %i in %i columns', (done, total, columns, text) => {
    expect(bar('Work', done, total, columns)).toBe(text);
  });

  it('is never wider than the terminal', () => {
    for (let columns = 10; columns < 120; columns++) {
      expect(bar('Verifying', 123_456, 999_999, columns).length).toBeLessThan(columns);
    }
  });
});

describe('progress', () => {
  function terminal(isTTY: boolean): Terminal & { readonly written: string[] } {
    const written: string[] = [];
    return { isTTY, columns: 80, written, write: (text) => written.push(text) };
  }

  it('is drawn on terminals, seldom, and at the end for certain', () => {
    const screen = terminal(true);
    let now = 0;
    const progress = startProgress('Work', screen, () => now);
    for (let done = 0; done <= 1000; done++) {
      now = done;
      progress.show(done, 1001);
    }
    expect(screen.written).toHaveLength(11);
    progress.show(1001, 1001);
    expect(screen.written).toHaveLength(12);
    expect(screen.written.at(-1)).toContain('100 % 1001 of 1001');
    progress.end();
    expect(screen.written.at(-1)).toBe('\r\u001b[K');
  });

  it('is not drawn into files', () => {
    const file = terminal(false);
    const progress = startProgress('Work', file);
    progress.show(1, 2);
    progress.end();
    expect(file.written).toEqual([]);
  });

  it('leaves nothing where nothing was drawn', () => {
    const screen = terminal(true);
    startProgress('Work', screen).end();
    expect(screen.written).toEqual([]);
  });
});
