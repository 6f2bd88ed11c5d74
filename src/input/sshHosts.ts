import { dirname, join, resolve } from 'node:path';
import type { Machine } from '../machine/machine.ts';

/**
 * The names that a person's ssh_config(5) gives to hosts: words of its `Host` lines without patterns, `Include`
 * followed. Only for suggesting: what a name means is asked of ssh itself.
 * @param home whose ~/.ssh/config
 */
export async function hostsOfSshConfig(machine: Machine, home: string): Promise<string[]> {
  const found = await hostsIn(machine, join(home, '.ssh/config'), home, 0);
  return [...new Set(found)].filter((name) => /^[A-Za-z0-9_][A-Za-z0-9_.:-]*$/.test(name));
}

/** ssh gives up at 16 levels (READCONF_MAX_DEPTH in readconf.c). */
const DEEPEST = 16;

async function hostsIn(machine: Machine, file: string, home: string, depth: number): Promise<string[]> {
  const found: string[] = [];
  for (const line of (await readText(machine, file)).split('\n')) {
    const [, keyword = '', rest = ''] = /^\s*(Host|Include)(?:\s+|\s*=\s*)(.*?)\s*$/i.exec(line) ?? [];
    const words = [...rest.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
    if (keyword.toLowerCase() === 'host') found.push(...words);
    if (keyword.toLowerCase() !== 'include' || depth >= DEEPEST) continue;
    for (const word of words) {
      for (const path of await matching(machine, placeOf(word, home))) found.push(...(await hostsIn(machine, path, home, depth + 1)));
    }
  }
  return found;
}

/** A relative Include lies in ~/.ssh. */
function placeOf(word: string, home: string): string {
  return word.startsWith('~/') ? join(home, word.slice(2)) : resolve(home, '.ssh', word);
}

/** Follows `*` and `?` in the last part of a path, where people write them. */
async function matching(machine: Machine, path: string): Promise<string[]> {
  const directory = dirname(path);
  const pattern = path.slice(directory.length + 1);
  if (!/[*?]/.test(pattern)) return [path];
  const expression = new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('*', '.*').replaceAll('?', '.')}$`);
  const names = await machine.list(directory).catch(() => []);
  return names.filter((name) => expression.test(name) && !name.startsWith('.')).map((name) => join(directory, name));
}

/** A file that cannot be read suggests nothing; it is no reason to stop. */
async function readText(machine: Machine, file: string): Promise<string> {
  const content = await machine.read(file).catch(() => undefined);
  return content?.toString() ?? '';
}
