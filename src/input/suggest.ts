import { createPrompt, isDownKey, isEnterKey, isTabKey, isUpKey, makeTheme, type Theme, useKeypress, usePagination, usePrefix, useState } from '@inquirer/core';

interface Config {
  readonly message: string;
  readonly suggestions: readonly string[];
  /** True, or what is wrong with it. */
  readonly validate: (text: string) => true | string;
  readonly pageSize: number;
  readonly keysHelp: string;
  readonly style: Partial<Theme['style']>;
}

/**
 * A line of text with suggestions below it. inquirer's own search prompt forgets an Enter that comes while it looks for
 * suggestions, which is every Enter of a pasted line.
 */
export const suggest = createPrompt<string, Config>((config, done) => {
  const { style } = makeTheme({ style: config.style });
  const [answer, setAnswer] = useState<string>();
  const [typed, setTyped] = useState('');
  const [active, setActive] = useState(0);
  const [problem, setProblem] = useState<string>();
  const prefix = usePrefix({ status: answer === undefined ? 'idle' : 'done' });
  const fitting = config.suggestions.filter((one) => one !== typed && one.startsWith(typed));
  // What is typed comes first: Enter never means anything else than what stands there.
  const rows = typed === '' ? fitting : [typed, ...fitting];
  const chosen = rows[active] ?? typed;

  const show = (text: string) => {
    setTyped(text);
    setActive(0);
  };
  useKeypress((key, line) => {
    if (isEnterKey(key) || isTabKey(key)) {
      const verdict = isTabKey(key) || config.validate(chosen);
      if (isEnterKey(key) && verdict === true) {
        setAnswer(chosen);
        return done(chosen);
      }
      // Readline has taken the line away at Enter, and added a blank at Tab.
      line.clearLine(0);
      line.write(chosen);
      show(chosen);
      setProblem(verdict === true ? undefined : verdict);
    } else if (isUpKey(key) || isDownKey(key)) {
      line.clearLine(0);
      line.write(typed);
      setActive(Math.min(Math.max(active + (isDownKey(key) ? 1 : -1), 0), Math.max(rows.length - 1, 0)));
    } else {
      show(line.line);
      setProblem(undefined);
    }
  });

  const page = usePagination({
    items: rows,
    active: Math.min(active, Math.max(rows.length - 1, 0)),
    renderItem: ({ item, isActive }) => (isActive ? style.highlight(`❯ ${item}`) : `  ${item}`),
    pageSize: config.pageSize,
    loop: false,
  });
  const header = `${prefix} ${style.message(config.message, answer === undefined ? 'idle' : 'done')} ${style.answer(answer ?? typed)}`;
  if (answer !== undefined) return header;
  return [header, [problem === undefined ? page : style.error(problem), '', config.keysHelp].join('\n')];
});
