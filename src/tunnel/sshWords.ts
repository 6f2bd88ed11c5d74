import { refused } from '../errors.ts';

/** ssh's own option letters (ssh.c, getopt): those with an argument, and those without. */
const WITH_ARGUMENT = 'BbcDEeFIiJLlmOoPpQRSWw';
const ALONE = '1246AaCfGgKkMNnqsTtVvXxYy';

/** One option of an ssh command line; `argument` is empty where there is none. */
export interface SshOption {
  readonly letter: string;
  readonly argument: string;
}

/**
 * Splits the words after `ssh` as its getopt loop does: options may stand before and after the destination, not after `--`.
 * @throws ExpectedError `ssh-command` for an option that ssh does not have
 */
export function splitSshWords(words: readonly string[]): { options: SshOption[]; destination: string | undefined; command: readonly string[] } {
  const options: SshOption[] = [];
  let destination: string | undefined;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!;
    if (word === '--') {
      const rest = words.slice(at + 1);
      return destination === undefined ? { options, destination: rest[0], command: rest.slice(1) } : { options, destination, command: rest };
    }
    if (!word.startsWith('-') || word === '-') {
      if (destination !== undefined) return { options, destination, command: words.slice(at) };
      destination = word;
      continue;
    }
    for (let i = 1; i < word.length; i += 1) {
      const letter = word[i]!;
      if (WITH_ARGUMENT.includes(letter)) {
        const inWord = word.slice(i + 1);
        options.push({ letter, argument: inWord === '' ? (words[(at += 1)] ?? '') : inWord });
        break;
      }
      if (!ALONE.includes(letter)) throw refused('ssh-command', `ssh has no option -${letter}`);
      options.push({ letter, argument: '' });
    }
  }
  return { options, destination, command: [] };
}

/** The host of `[USER@]HOST` or `ssh://[USER@]HOST[:PORT]`; ssh -G tells the rest. */
export function hostOf(destination: string): string {
  const uri = /^ssh:\/\/(?:[^@/]*@)?(?:\[([^\]/]*)\]|([^:/]*))(?::\d+)?\/?$/.exec(destination);
  return uri?.[1] ?? uri?.[2] ?? destination.replace(/^.*@/s, '');
}
