/**
 * Whether a name is meant by a list of patterns, as sshd reads them (ssh_config(5), PATTERNS): `*` and `?` stand for
 * anything, and one with a `!` before it takes names out again. Of `USER@HOST` only the user is looked at.
 */
export function matchesPatterns(name: string, patterns: readonly string[]): boolean {
  let isMeant = false;
  for (const pattern of patterns) {
    const isNegated = pattern.startsWith('!');
    const [user = ''] = pattern.slice(isNegated ? 1 : 0).split('@');
    if (!globOf(user).test(name)) continue;
    if (isNegated) return false;
    isMeant = true;
  }
  return isMeant;
}

const globOf = (pattern: string) =>
  new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('*', '.*').replaceAll('?', '.')}$`);
