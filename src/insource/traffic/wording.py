"""What the words of a prompt say about themselves: whether a sentence asks for something, whether a slot is labelled.

Used where nothing else decides (no answers are known, or two jobs have like ones), and for names. A language that is
not here loses nothing but that help."""

from __future__ import annotations

import re

from insource.traffic.templates import MARKS, Template

_ASKING = frozenset(
    re.findall(
        r"\w+",
        """act add analyse analyze answer arrange assess assign calculate categorise categorize change check choose
        classify clean combine compare complete compose compute continue convert correct count create debug
        decide define describe detect determine draft edit estimate evaluate expand explain extract fill filter
        find fix flag format generate give grade group guess help highlight identify improve infer label list
        locate make mark mask match merge name normalise normalize order organise organize outline output
        paraphrase parse pick plan predict produce proofread propose provide quote rank rate read recommend
        redact remove rename repeat rephrase replace reply report respond return review revise rewrite say score
        search select send shorten show simplify solve sort split state suggest summarise summarize tag take
        tell test transcribe transform translate turn use validate verify write you your analysiere antworte
        ändere beantworte bearbeite bestimme berechne beschreibe bewerte du entscheide erkenne erkläre ermittle
        ersetze erstelle fasse finde formuliere gib ihre ihr klassifiziere korrigiere lies liste löse markiere
        nenne ordne prüfe sag schreibe sie sortiere übersetze vergleiche wähle wandle zähle zeige ziehe deine
        dein analyse analysez calcule choisis choisissez classe classez complète compare corrige crée décide
        décidez décris détermine donne donnez écris écrivez évalue explique extrais identifie indique lis liste
        réponds répondez remplace résous résume résumez rédige traduis traduisez trie trouve tu vérifie votre
        vous analiza calcula clasifica compara completa corrige crea decide describe determina elige encuentra
        escribe evalúa explica extrae identifica indica lee lista ordena reemplaza resuelve responde resume
        revisa selecciona traduce tu analizza calcola classifica confronta correggi crea decidi descrivi
        determina elenca estrai identifica indica leggi riassumi rispondi risolvi scegli scrivi sostituisci
        traduci trova valuta analise calcule classifique compare corrija crie decida descreva determine escolha
        escreva extraia identifique indique leia liste ordene responda resolva resuma substitua traduza
        beantwoord bepaal beschrijf bereken classificeer controleer geef kies lees maak noem schrijf vat vertaal
        vervang""",
    )
)
_OPENERS = "please|bitte|por favor|per favore|s'il te plaît|s'il vous plaît|alsjeblieft"
_SENTENCE = re.compile(rf"(?:^|[.!?:;]\s|\n|[{MARKS}>\"'])[\s\-*#\d.)]*(?:(?:{_OPENERS}),?\s+)?([^\W\d_]+)", re.I)
_ASKING_CHARACTERS = re.compile(r"请|請|してください|해주세요|하세요|你是|您是")
_LABELS = frozenset(
    re.findall(
        r"\w+",
        """about account article articles background chunk chunks city client context customer data date doc docs
        document documents example examples facts history kb knowledge location mail member memories memory name
        notes now page passage passages person policy post product profile recall records reference remember
        result results retrieved sample samples shot snippet snippets source sources text thread time today
        transcript user website beispiel beispiele benutzer dokument dokumente kontext kunde kundin profil
        quelle quellen wissen nutzer heute client contexte date documents exemple exemples mémoire profil
        sources utilisateur cliente contexto contesto documento documentos documenti ejemplo ejemplos esempio
        esempi usuario utente fuentes memoria perfil exemplo exemplos usuário voorbeeld voorbeelden gebruiker
        klant""",
    )
)
_JOB_LABELS = frozenset(
    re.findall(
        r"\w+",
        """action command directive do goal instruction instructions job mode objective operation prompt request
        skill task anweisung anweisungen auftrag aufgabe modus tâche consigne tarea instrucción instrucciones
        instruções tarefa compito istruzioni taak opdracht""",
    )
)
_LABEL = re.compile(
    r"(?<!</)(?<!/)([^\n:<>=/]{1,60})\s*[:=>][\s\"'`\-*({\[]*$|^(?:#+|=+|\*\*)\s*([^\n]{1,40}?)[=*#\s]*$"
)
_WORD = re.compile(r"[^\W\d_]+")
_ADDRESSED = frozenset(["you", "your", "du", "deine", "dein", "sie", "ihr", "ihre", "tu", "vous", "u", "je"])
_PERSON = re.compile(r"(?:you|du|sie|ihr|tu|vous|je|u)\s+", re.I)
_ROLE = re.compile(
    r"\s*(?:you are|you're|act as|du bist|sie sind|tu es|vous êtes|eres|usted es|sei|você é|je bent|u bent)\s+"
    r"(?:an?|the|ein(?:en?)?|der|die|une?|una|uno|um|uma|een)\b",
    re.I,
)
_OF_SOMEBODY = re.compile(
    r"\b(?:of|for|to|with|at|from|von|für|mit|bei|de|du|pour|chez|para|di|per|van|voor)\s+$", re.I
)
"""What a role is for (`an agent of …`) is often a name; what it is (`a … tutor`) and knows is the job."""
_PAST = re.compile(rf"[.!?:;]\s|\n|[{MARKS}]")
_STATED = re.compile(r"([^\W\d_]+)\s+(?:is|are|was|called|named|ist|heißt|est|es|è|é)\s+(?:called\s+|named\s+)?$", re.I)
_TITLE = re.compile(r"(?:\b(?:mr|mrs|ms|dr|prof)\.?|\b(?:herrn?|frau|madame|monsieur|señora?|signora?))\s+$", re.I)


def asks(text: str) -> bool:
    """A sentence of the text begins with an imperative, or speaks to whoever reads it."""
    if _ASKING_CHARACTERS.search(text):
        return True
    return any(word.casefold() in _ASKING for word in _SENTENCE.findall(text))


def labelled(before: str) -> bool:
    """Whether the text just before a slot says that a variable text follows: `Context:`, `<user>`, `## Memory`."""
    return not _LABELS.isdisjoint(_labels(before))


def labelled_as_job(before: str) -> bool:
    """Whether it says that what is to be done follows: `"task": "`, `## Instructions`."""
    return not _JOB_LABELS.isdisjoint(_labels(before, lines=2))


def ordered(before: str) -> bool:
    """Whether the text just before a slot begins a sentence that says what to do or be: `Translate it into`, `You are
    a helpful`. What is stated (`The customer is in`, `You are talking to`) is no order."""
    sentence = _PAST.split(before)[-1]
    if _ROLE.match(sentence):
        return not _OF_SOMEBODY.search(sentence)
    found = _SENTENCE.match(_PERSON.sub("", sentence.lstrip(), count=1))
    return found is not None and found.group(1).casefold() in _ASKING - _ADDRESSED


def names_somebody(before: str, value: str) -> bool:
    """Whether a slot holds what somebody or something is called: `The user's name is …`, `Greet the customer Ada`."""
    stated = _STATED.search(before)
    if _TITLE.search(before) or (stated and stated.group(1).casefold() in _LABELS):
        return True
    last = _WORD.findall(before)[-1:]
    return value[:1].isupper() and before[-1:].isspace() and last != [] and last[0].casefold() in _LABELS


def _labels(before: str, lines: int = 3) -> set[str]:
    """Words of the labels in the last lines of a text."""
    found = [match for line in before.split("\n")[-lines:] if (match := _LABEL.search(line))]
    return {word.casefold() for match in found for word in _WORD.findall(match.group(1) or match.group(2))}


def widens(wide: Template, narrow: Template) -> bool:
    """Whether a template is another one less what that had by chance (the beginning of a variable part): then both
    are of one task. What asks for something makes another task of it."""
    return wide.covers(narrow) and not any(asks(text) for text in wide.left_of(narrow))
