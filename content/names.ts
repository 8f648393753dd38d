import { extensionOf, formatOfName, KNOWN } from './formats.ts'

/** Files that a double click on Windows, macOS or Linux runs, or opens in a program that runs their content. */
const RUNNABLE = new Set(
  'exe scr bat cmd pif msi msp cpl dll vbs vbe js jse wsf wsh hta ps1 psm1 lnk reg jar jnlp scf url app dmg pkg command sh bash run desktop apk deb rpm html htm xhtml mht svg xml swf php phtml phar asp aspx jsp jspx cgi'.split(
    ' ',
  ),
)
/** Some web servers run a file with one of these anywhere in its name. */
const SERVER_SCRIPT = /^(php\d?|phtml|pht|phar|phps|asp|aspx|jsp|jspx|cgi|shtml)$/

/**
 * The part of a file name by which a program would run the file (`holiday.mp4.exe`, `x.php.jpg`). Undefined for other
 * names, which may contain web addresses, version numbers and abbreviations.
 */
export function dangerousExtension(filename: string): string | undefined {
  // Windows drops these from the end of a name.
  const name = filename.replace(/[\s.]+$/u, '')
  const last = extensionOf(name)
  if (last === undefined) return undefined
  const inner = name.slice(0, -last.length - 1)
  // Also a top-level domain, so it counts as a program only after another extension.
  const isDisguisedCom = last === 'com' && formatOfName(KNOWN, inner) !== undefined
  if (RUNNABLE.has(last) || isDisguisedCom) return last
  // Some of them end a name at `;`.
  const segments = inner.split(/[.;]/).slice(1)
  return segments
    .map((segment) => segment.trim().toLowerCase())
    .find((segment) => SERVER_SCRIPT.test(segment))
}

/** Extensions of well-known documents, archives and sources. */
const FOREIGN = new Set(
  'pdf ps ai psd doc docx dot dotx odt rtf pages xls xlsx ods numbers csv tsv ppt pptx odp key txt md log json yaml yml ini epub mobi zip rar 7z gz tgz bz2 xz tar iso img ics vcf eml msg srt vtt ttf otf woff woff2 c h cpp py rb go rs ts java class sql db sqlite bak'.split(
    ' ',
  ),
)

/** Whether an extension, in lower case, belongs to files that are no media. Unknown ones may belong to anything. */
export const isForeignExtension = (extension: string): boolean => FOREIGN.has(extension)
