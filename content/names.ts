import { extensionOf, FORMATS, formatOfName } from './formats.ts'

/** What a double click on Windows, macOS or Linux runs, or opens in something that runs what is in it. */
const RUNNABLE = new Set(
  'exe scr bat cmd pif msi msp cpl dll vbs vbe js jse wsf wsh hta ps1 psm1 lnk reg jar jnlp scf url app dmg pkg command sh bash run desktop apk deb rpm html htm xhtml mht svg xml swf php phtml phar asp aspx jsp jspx cgi'.split(
    ' ',
  ),
)
/** Some web servers run a file that has one of these anywhere in its name. */
const SERVER_SCRIPT = /^(php\d?|phtml|pht|phar|phps|asp|aspx|jsp|jspx|cgi|shtml)$/

/**
 * What is wrong with the name of a media: that a program would be run by it (`holiday.mp4.exe`, `x.php.jpg`).
 * Undefined for every other name; web addresses, version numbers and abbreviations may be in it.
 */
export function dangerousExtension(filename: string): string | undefined {
  // Windows drops these from the end of a name.
  const name = filename.replace(/[\s.]+$/u, '')
  const last = extensionOf(name)
  if (last === undefined) return undefined
  const inner = name.slice(0, -last.length - 1)
  // Also an ending of web addresses, so it counts as a program's only in disguise.
  const isDisguisedCom = last === 'com' && formatOfName(FORMATS, inner) !== undefined
  if (RUNNABLE.has(last) || isDisguisedCom) return last
  // `;` ends a name for some of them.
  const segments = inner.split(/[.;]/).slice(1)
  return segments
    .map((segment) => segment.trim().toLowerCase())
    .find((segment) => SERVER_SCRIPT.test(segment))
}
