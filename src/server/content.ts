import { failed } from '../errors.ts';
import { template, version } from '../package.ts';
import { renderTemplate } from '../template.ts';
import { SERVER } from './places.ts';

/** The accounts' login shell, which also is sshd's AuthorizedKeysCommand. */
export const deviceScript = () => template('server-device.sh');

/** Keeps systemd from starting a service manager for each device. */
export const sessionDropIn = () => template('server-user@.conf');

/** Seconds from arming to restoring: long enough for a reload and a slow login. */
export const RESTORE_AFTER = 60;

/**
 * A sh script with which sshd's configuration is changed and put back, in three roles:
 * `arm` backs the files up and starts a timer of 60 s; `restore`, which the timer calls too, puts them back and reloads,
 * and does nothing unless armed; `disarm` gives the backup up, and fails where the timer was first. It needs root.
 * @param paths absolute, of regular files or none
 * @param reload a command in sh, constant: it becomes part of the script. It must look at the configuration first,
 *   and start what is not running
 */
export function restoreScript(paths: readonly string[], reload: string): string {
  return renderTemplate('server-restore.sh.ejs', {
    version: version(),
    seconds: RESTORE_AFTER,
    self: SERVER.restore,
    paths: paths.map(shellWord),
    reload,
    backup: template('backup.sh'),
  });
}

const shellWord = (text: string) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** @param known keywords in lower case that this sshd has, as `sshd -T` lists them */
export const sshdConfig = (known: ReadonlySet<string>) => renderTemplate('server-sshd.conf.ejs', { version: version(), known });

/**
 * What `sshd -T -C user=ACCOUNT,…` says of a device's account where nothing of others comes between: keywords in lower
 * case with their values, each of which sshd prints on a line of its own.
 */
export function expectedSettings(known: ReadonlySet<string>, { public: isPublic }: { readonly public: boolean }): ReadonlyMap<string, readonly string[]> {
  const settings = new Map<string, readonly string[]>();
  let applies = false;
  for (const line of sshdConfig(known).split('\n')) {
    const [, keyword = '', value = ''] = /^ *([A-Za-z0-9]+) (.*)$/.exec(line) ?? [];
    if (keyword === 'Match') applies = isPublic || !value.includes(SERVER.publicGroup);
    // sshd takes the first value that it meets.
    else if (keyword !== '' && applies && !settings.has(keyword.toLowerCase())) settings.set(keyword.toLowerCase(), valuesOf(keyword, value));
  }
  return settings;
}

const LISTS = new Set(['AllowUsers', 'AllowGroups', 'AcceptEnv']);

const valuesOf = (keyword: string, value: string) => (LISTS.has(keyword) ? value.split(' ') : [value]);

const BEGIN = '# BEGIN revtun-setup';
const END = '# END revtun-setup';
/** So that taking the block out again leaves the very bytes that were there. */
const NO_NEWLINE = ' (the line before this had no end)';

/** The same text for a sshd_config that includes no drop-ins. */
export const sshdBlock = (known: ReadonlySet<string>) => `${BEGIN}\n${sshdConfig(known)}${END}\n`;

const BLOCK = new RegExp(String.raw`(^|\n)${BEGIN}(${NO_NEWLINE.replace(/[()]/g, String.raw`\$&`)})?\n[^]*?\n${END}(?:\n|$)`);

/**
 * The main sshd_config with our block at its end, or where it was before; without a block, less the one that is there.
 * Every other byte stays. @throws ExpectedError when only one of the block's ends is there
 */
export function withBlock(mainConfig: string, block: string | undefined): string {
  const found = BLOCK.exec(mainConfig);
  if (!found) {
    if (new RegExp(`^(${BEGIN}|${END})`, 'm').test(mainConfig)) {
      throw failed('sshd-block-damaged', `${SERVER.mainConfig}: of the lines "${BEGIN}" and "${END}" only one is there.`, 'Take out by hand what stands between where they should be, and them.');
    }
    if (block === undefined) return mainConfig;
    return mainConfig === '' || mainConfig.endsWith('\n') ? mainConfig + block : `${mainConfig}\n${marked(block)}`;
  }
  const [whole, before = '', mark] = found;
  const head = mainConfig.slice(0, found.index);
  const tail = mainConfig.slice(found.index + whole.length);
  // What somebody has written below it still begins on a line of its own.
  if (block === undefined) return `${head}${mark === undefined || tail !== '' ? before : ''}${tail}`;
  return `${head}${before}${mark === undefined ? block : marked(block)}${tail}`;
}

const marked = (block: string) => block.replace(BEGIN, BEGIN + NO_NEWLINE);
