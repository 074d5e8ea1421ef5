// SPDX-License-Identifier: Apache-2.0
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

type Drawing = SVGSVGElement | HTMLElement;

/** Holds what Plot draws; it is drawn anew when `inputs` change. */
export function Figure({ draw, inputs }: { draw: () => Drawing; inputs: readonly unknown[] }) {
  const holder = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => holder.current?.replaceChildren(draw()), inputs);
  return <div class="figure" ref={holder} aria-hidden="true" />;
}

/** The width of an element, as it is and as it changes. */
export function useWidth() {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const measure = () => setWidth(Math.floor(element.clientWidth));
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  return { ref, width };
}
