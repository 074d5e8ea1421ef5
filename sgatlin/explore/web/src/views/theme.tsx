// SPDX-License-Identifier: Apache-2.0
import { useEffect, useState } from "preact/hooks";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const KEY = "sgatlin-explorer-theme";

/** Light or dark; it stays with the reader, not with the address. */
export function ThemeChoice() {
  const [theme, setTheme] = useState<Theme>(readTheme);
  useEffect(() => {
    document.documentElement.dataset["theme"] = theme;
    keepTheme(theme);
  }, [theme]);
  return (
    <label class="field">
      <span>Theme</span>
      <select
        data-testid="theme"
        value={theme}
        onChange={(event) => setTheme(asTheme(event.currentTarget.value))}
      >
        {THEMES.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}

function asTheme(name: string | null): Theme {
  return THEMES.find((theme) => theme === name) ?? "auto";
}

function readTheme(): Theme {
  try {
    return asTheme(window.localStorage.getItem(KEY));
  } catch {
    return "auto";
  }
}

function keepTheme(theme: Theme): void {
  try {
    window.localStorage.setItem(KEY, theme);
  } catch {
    // A page without storage forgets it.
  }
}
