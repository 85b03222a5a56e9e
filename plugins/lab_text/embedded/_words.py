"""The word tables of the embedded corpus, as text; :mod:`~lab_text.embedded.lexicon` parses them.

Nouns: ``french gender english [preposition pair of a place]``. Adjectives: ``masculine [feminine] | english |
classes | graded``. Verbs: ``infinitive [present singular, plural, stem of the future, participle] | base [past]
[particle] | …``. A class in an adjective's or verb's line is a noun class or one of ``TAGS``.
"""

from __future__ import annotations

__all__ = [
    "ADJECTIVES_AFTER",
    "ADJECTIVES_BEFORE",
    "CITIES",
    "CLASSIFYING",
    "COUNTRIES",
    "DELIBERATE",
    "FREQUENCY",
    "INTRANSITIVES",
    "MANNER",
    "MATERIALS",
    "MODALS",
    "NAMES",
    "NOUNS",
    "NUMBERS",
    "PHYSICAL",
    "SAYING",
    "STATES",
    "STIRRING",
    "TAGS",
    "TALKING",
    "TRANSITIVES",
]

NOUNS = {
    "person": """
        roi m king, reine f queen, voisin m neighbour, voisine f neighbour, médecin m doctor, infirmière f nurse,
        professeur m teacher, boulanger m baker, boulangère f baker, avocat m lawyer, avocate f lawyer,
        acteur m actor, actrice f actress, chanteur m singer, chanteuse f singer, danseur m dancer,
        danseuse f dancer, journaliste f journalist, étudiant m student, étudiante f student, élève m pupil,
        soldat m soldier, juge m judge, maire m mayor, peintre m painter, poète m poet, prince m prince,
        princesse f princess, garçon m boy, fille f girl, homme m man, femme f woman, enfant m child, ami m friend,
        amie f friend, touriste m tourist, cuisinier m cook, serveur m waiter, serveuse f waitress,
        facteur m postman, agriculteur m farmer, agricultrice f farmer, ouvrier m worker, ouvrière f worker,
        ingénieur m engineer, dentiste f dentist, directeur m director, directrice f director,
        secrétaire f secretary, bibliothécaire f librarian,
        coiffeur m hairdresser, coiffeuse f hairdresser, voleur m thief, espion m spy, espionne f spy,
        sorcière f witch, magicien m magician, musicien m musician, musicienne f musician,
        policier m policeman, pompier m fireman, marin m sailor, pêcheur m fisherman, chasseur m hunter,
        berger m shepherd, jardinier m gardener, jardinière f gardener, écrivain m writer, invité m guest,
        invitée f guest, cliente f customer, client m customer, architecte f architect, géant m giant, fée f fairy,
        héros m hero""",
    "kin": """
        frère m brother, sœur f sister, oncle m uncle, tante f aunt, cousin m cousin, cousine f cousin,
        père m father, mère f mother, fils m son, grand-mère f grandmother, neveu m nephew, nièce f niece""",
    "animal": """
        chien m dog, chat m cat, cheval m horse, vache f cow, mouton m sheep, poule f hen, canard m duck,
        lapin m rabbit, oiseau m bird, souris f mouse, loup m wolf, renard m fox, ours m bear, lion m lion,
        tigre m tiger, singe m monkey, âne m donkey, chèvre f goat, cochon m pig, tortue f turtle, serpent m snake,
        éléphant m elephant, hibou m owl""",
    "fruit": """
        pomme f apple, poire f pear, cerise f cherry, fraise f strawberry, orange f orange, citron m lemon,
        banane f banana, tomate f tomato, carotte f carrot, oignon m onion, œuf m egg, gâteau m cake, tarte f pie,
        champignon m mushroom, haricot m bean, olive f olive, noix f walnut, crêpe f pancake""",
    "dish": """
        pain m bread, fromage m cheese, beurre m butter, viande f meat, poisson m fish, riz m rice, miel m honey,
        confiture f jam, chocolat m chocolate, soupe f soup, salade f salad, jambon m ham""",
    "drink": """
        eau f water, vin m wine, lait m milk, café m coffee, thé m tea, bière f beer, cidre m cider,
        limonade f lemonade""",
    "clothing": """
        robe f dress, chemise f shirt, manteau m coat, chapeau m hat, jupe f skirt, écharpe f scarf, cravate f tie,
        ceinture f belt, bague f ring, veste f jacket, bijou m jewel,
        masque m mask, collier m necklace, uniforme m uniform""",
    "object": """
        table f table, chaise f chair, lampe f lamp, couteau m knife, fourchette f fork, assiette f plate,
        bouteille f bottle, clé f key, parapluie m umbrella, sac m bag, valise f suitcase, boîte f box,
        miroir m mirror, tapis m carpet, fauteuil m armchair, lit m bed, montre f watch, tableau m painting,
        statue f statue, vase m vase, échelle f ladder, panier m basket, ballon m ball,
        jouet m toy, poupée f doll, drapeau m flag, épée f sword, armoire f wardrobe,
        guitare f guitar, violon m violin, diamant m diamond, trésor m treasure,
        ordinateur m computer, téléphone m telephone, horloge f clock""",
    "vehicle": """
        voiture f car, vélo m bicycle, camion m truck, bateau m boat, moto f motorcycle, tracteur m tractor,
        autobus m bus, avion m plane""",
    "text": """
        lettre f letter, livre m book, roman m novel, article m article, rapport m report, poème m poem,
        journal m newspaper, message m message, recette f recipe, dictionnaire m dictionary, contrat m contract,
        document m document""",
    "tale": """
        conte m tale, chanson f song, histoire f story, discours m speech, légende f legend""",
    "building": """
        maison f house, école f school à at, église f church, château m castle, musée m museum à at,
        hôtel m hotel à at, gare f station à at, pont m bridge sur on, tour f tower, usine f factory à at,
        ferme f farm à at, banque f bank à at, hôpital m hospital à at, théâtre m theatre à at,
        bibliothèque f library à at, marché m market à at, restaurant m restaurant à at, palais m palace,
        prison f prison, cathédrale f cathedral, cabane f hut""",
    "nature": """
        jardin m garden, forêt f forest, île f island sur on, plage f beach sur on, village m village,
        ville f town, champ m field, parc m park, vallée f valley, désert m desert, rue f street, port m harbour,
        colline f hill sur on, cour f yard, grotte f cave""",
    "part": """
        toit m roof, porte f door, fenêtre f window, mur m wall, escalier m staircase""",
}

NAMES = {
    "m": """Paul Pierre Marc Antoine Julien Olivier Émile Arthur Gabriel Simon Victor Maxime Martin Philippe Robert
        Vincent Étienne Bernard Alain André""",
    "f": """Marie Julie Claire Sophie Alice Emma Anne Louise Charlotte Isabelle Jeanne Lucie Nathalie Pauline Sylvie
        Valérie Élodie Margot Chloé Brigitte""",
}

ADJECTIVES_BEFORE = """
    petit | small | person animal clothing object vehicle text building nature fruit
    grand | big | animal clothing object vehicle building nature fruit
    grand | tall | person
    beau belle | handsome | man
    beau belle | beautiful | woman animal clothing object vehicle text building nature | graded
    joli | pretty | clothing object building nature
    jeune | young | person animal
    vieux vieille | old | person animal clothing object vehicle text building
    nouveau nouvelle | new | clothing object vehicle text building
    bon bonne | good | fruit dish drink text tale
    mauvais | bad | dish drink text
    gros grosse | fat | animal
    long longue | long | text tale garment
    ancien | former | role
"""

ADJECTIVES_AFTER = """
    rouge | red | clothing object vehicle
    bleu | blue | clothing object vehicle
    vert | green | clothing object vehicle
    blanc blanche | white | clothing object vehicle animal
    noir | black | clothing object vehicle animal
    jaune | yellow | clothing object vehicle
    gris | grey | clothing object vehicle animal
    rose | pink | clothing object
    français | French | person text vehicle clothing object dish
    italien | Italian | person text vehicle clothing object dish
    espagnol | Spanish | person text clothing object dish
    allemand | German | person text vehicle object
    anglais | English | person text vehicle clothing object
    chinois | Chinese | person text object clothing
    japonais | Japanese | person text vehicle object
    portugais | Portuguese | person text dish
    russe | Russian | person text
    américain | American | person text vehicle object
    suisse | Swiss | person object dish
    turc turque | Turkish | person object
    indien | Indian | person text clothing
    cher chère | expensive | clothing object vehicle building fruit dish drink text | graded
    lourd | heavy | object
    léger | light | object clothing
    rond | round | round
    moderne | modern | building object vehicle text | graded
    ancien | ancient | object building
    étrange | strange | object text tale animal building clothing
    précieux | precious | object text clothing | graded
    fragile | fragile | breakable | graded
    utile | useful | tool text vehicle | graded
    inutile | useless | tool text vehicle
    dangereux | dangerous | animal vehicle nature person | graded
    sale | dirty | clothing object vehicle animal building
    propre | clean | clothing object vehicle building
    vide | empty | building
    magique | magic | object clothing
    public publique | public | building
    royal | royal | building
    célèbre | famous | person text tale building nature | graded
    secret secrète | secret | text
    profond | deep | deep
    tranquille | quiet | nature building
    bruyant | noisy | vehicle loud
    étroit | narrow | narrow
    haut | high | high
    mystérieux | mysterious | person text tale object nature building | graded
    heureux | happy | person
    triste | sad | person tale
    malade | sick | person animal
    fatigué | tired | person animal
    intelligent | intelligent | person animal | graded
    courageux | brave | person
    paresseux | lazy | person animal
    gentil gentille | kind | person
    cruel | cruel | person
    riche | rich | person
    pauvre | poor | person
    fier fière | proud | person
    jaloux jalouse | jealous | person | graded
    timide | shy | person animal
    honnête | honest | person | graded
    inquiet inquiète | worried | person
    furieux | furious | person
    nerveux | nervous | person animal
    prudent | cautious | person | graded
    doux douce | gentle | animal
    frais fraîche | fresh | fresh
    sucré | sweet | ripe
    délicieux | delicious | fruit dish drink | graded
    cuit | cooked | cooked
    mûr | ripe | ripe
    froid | cold | drink dish
    chaud | hot | drink dish
    court | short | text tale
    ennuyeux | boring | text tale | graded
    intéressant | interesting | text tale sight | graded
    drôle | funny | tale person
    difficile | difficult | text | graded
    important | important | report | graded
    anonyme | anonymous | report
    sauvage | wild | animal
    féroce | fierce | animal
    rapide | fast | vehicle animal
    lent | slow | vehicle animal
    blessé | injured | animal person
"""

TRANSITIVES = """
    acheter | buy bought | clothing object vehicle text fruit dish drink tame estate |
    vendre | sell sold | clothing object vehicle text fruit dish tame estate | dative
    manger | eat ate | fruit dish | animals
    boire boit boivent boir bu | drink drank | drink |
    préparer | prepare | dish pastry |
    lire lit lisent lir lu | read read | text story | dative
    écrire écrit écrivent écrir écrit | write wrote | text tale |
    traduire traduit traduisent traduir traduit | translate | text tale |
    signer | sign | report |
    envoyer envoie envoient enverr envoyé | send sent | text object clothing | dative away
    porter | wear wore | clothing |
    laver | wash | clothing vehicle fruit tame |
    construire construit construisent construir construit | build built | building |
    visiter | visit | sight |
    quitter | leave left | building nature | event
    détruire détruit détruisent détruir détruit | destroy | text building vehicle | event
    réparer | repair | vehicle device |
    casser | break broke | breakable device | event
    conduire conduit conduisent conduir conduit | drive drove | road |
    voler | steal stole | clothing object vehicle tame | event
    perdre | lose lost | clothing object text tame | event
    trouver | find found | clothing object text animal vehicle | event
    chercher | look looked for | person clothing object text tame vehicle |
    cacher | hide hid | clothing object text tame |
    montrer | show | clothing object text vehicle building tame | dative
    donner | give gave | clothing object text fruit tame | dative
    prêter | lend lent | clothing object text vehicle | dative
    offrir offre offrent offrir offert | offer | clothing object text fruit | dative
    apporter | bring brought | object text fruit dish drink | dative away
    voir voit voient verr vu | see saw | person animal building nature object vehicle | animals stative
    rencontrer | meet met | person kin |
    aider | help | person kin |
    inviter | invite | person kin |
    attendre | wait waited for | person kin vehicle |
    suivre suit suivent suivr suivi | follow | person animal vehicle | animals
    connaître connaît connaissent connaîtr connu | know knew | person building text | stative
    aimer | love | person animal fruit dish drink tale | stative
    détester | hate | person animal fruit dish drink tale | stative
    admirer | admire | person building text object | stative
    critiquer | criticise | person text tale building |
    nourrir | feed fed | tame |
    chasser | hunt | wild |
    protéger | protect | person animal building |
    chanter | sing sang | song |
    écouter | listen listened to | person tale |
    peindre peint peignent peindr peint | paint | building tame person nature |
    dessiner | draw drew | person animal building object |
    choisir | choose chose | clothing object vehicle text fruit | event
    garder | keep kept | clothing object text |
    utiliser | use | tool vehicle |
    oublier | forget forgot | clothing object text tale | event
    recevoir reçoit reçoivent recevr reçu | receive | person text | event
    arrêter | arrest | thief | event
    raconter | tell told | story | dative
    nettoyer | clean cleaned | building vehicle object clothing |
"""

INTRANSITIVES = """
    travailler | work | person |
    dormir dort dorment dormir dormi | sleep slept | person animal |
    habiter | live | person | home
    voyager | travel travelled | person | far
    danser | dance | person |
    courir court courent courr couru | run ran | person animal |
    nager | swim swam | person animal |
    marcher | walk | person animal |
    pleurer | cry | person |
    rire rit rient rir ri | laugh | person |
    jouer | play | person animal |
    attendre | wait | person animal |
    arriver | arrive | person vehicle | être
    partir part partent partir parti | leave left | person vehicle | être away
    tomber | fall fell | person animal | être event
    rester | stay | person animal | être
    mourir meurt meurent mourr mort | die | person animal | être final event
    aller va vont ir allé | go went | person | être motion
"""

SAYING = """
    dire dit disent dir dit | say said |
    penser | think thought |
    croire croit croient croir cru | believe |
    savoir sait savent saur su | know knew | stative
    expliquer | explain |
    annoncer | announce |
"""

MODALS = """
    vouloir veut veulent voudr voulu | want wanted to | | stative
    pouvoir peut peuvent pourr pu | can can | | auxiliary
    devoir doit doivent devr dû | must must | | auxiliary affirmative
    refuser | refuse refused to | de |
    essayer | try tried to | de |
    décider | decide decided to | de | event affirmative
    promettre promet promettent promettr promis | promise promised to | de | affirmative
    préférer | prefer preferred to | | affirmative stative
    commencer | start started to | à | affirmative
    continuer | continue continued to | à | affirmative
"""

STIRRING = """
    inquiéter | worry |
    effrayer | frighten |
    amuser | amuse |
    étonner | surprise |
    fatiguer | tire |
"""

TALKING = """
    parler | talk talked about | de |
    rêver | dream dreamed of | de |
"""

CITIES = """
    Paris, Lyon, Marseille, Bordeaux, Lille, Nice, Strasbourg, Genève Geneva, Londres London, Rome, Berlin, Madrid,
    Lisbonne Lisbon, Vienne Vienna, Moscou Moscow, Venise Venice, Bruxelles Brussels, Athènes Athens,
    Barcelone Barcelona, Varsovie Warsaw, Prague, Dublin, Pékin Beijing, Tokyo, Montréal Montreal, Naples, Florence,
    Dakar, Boston, Toulouse"""

COUNTRIES = """
    en France, en Italie Italy, en Espagne Spain, en Allemagne Germany, en Belgique Belgium, en Suisse Switzerland,
    en Grèce Greece, en Pologne Poland, en Suède Sweden, en Norvège Norway, en Angleterre England,
    en Écosse Scotland, en Irlande Ireland, en Russie Russia, en Chine China, en Inde India, en Turquie Turkey,
    en Égypte Egypt, en Autriche Austria, en Algérie Algeria, au Portugal, au Japon Japan, au Canada,
    au Brésil Brazil, au Mexique Mexico, au Maroc Morocco, au Danemark Denmark, au Pérou Peru, au Chili Chile"""

NUMBERS = """
    deux two, trois three, quatre four, cinq five, six, sept seven, huit eight, neuf nine, dix ten, onze eleven,
    douze twelve, quinze fifteen, vingt twenty, trente thirty, quarante forty, soixante sixty"""

FREQUENCY = "souvent often, toujours always, parfois sometimes, rarement rarely"
MANNER = """
    secrètement secretly, rapidement quickly, soigneusement carefully, discrètement discreetly, calmement calmly"""

MATERIALS = """
    bois wooden: table chaise boîte armoire statue lit jouet échelle poupée maison pont cabane tour
    or golden: montre statue couteau clé fourchette épée bague collier bijou ceinture masque
    argent silver: montre couteau clé fourchette miroir assiette bague collier bijou vase
    cuir leather: sac valise fauteuil veste ceinture manteau ballon
    laine woollen: écharpe tapis jupe robe manteau veste
    soie silk: robe chemise écharpe cravate jupe drapeau
    marbre marble: statue table vase escalier
    pierre stone: pont maison tour église mur statue
    coton cotton: chemise robe jupe sac
    métal metal: boîte échelle armoire chaise table porte lit
"""
TAGS = """
    role: roi reine professeur avocat avocate acteur actrice soldat juge maire directeur directrice
        secrétaire voleur espion danseur danseuse chanteur chanteuse facteur cuisinier policier pompier
    tame: chien chat cheval vache mouton poule canard lapin oiseau souris âne chèvre cochon tortue
    pastry: gâteau tarte crêpe
    thief: voleur espion espionne chasseur sorcière magicien
    garment: robe manteau écharpe jupe
    deep: forêt vallée grotte
    narrow: rue vallée cour
    high: tour mur
    loud: rue port ville marché gare usine restaurant
    fresh: pomme poire cerise fraise orange tomate carotte œuf champignon pain beurre viande poisson fromage lait
    ripe: pomme poire cerise fraise orange banane
    cooked: tomate carotte œuf haricot champignon oignon viande poisson riz jambon
    wild: lapin loup renard ours lion tigre canard éléphant hibou singe serpent
    story: conte histoire légende
    song: chanson
    report: lettre article rapport message document contrat
    sight: église château musée tour usine ferme cathédrale palais prison village ville île grotte
        vallée parc jardin port désert
    estate: maison château hôtel ferme cabane restaurant usine
    road: voiture camion moto tracteur autobus
    breakable: assiette vase lampe miroir statue poupée bouteille violon guitare horloge montre
    round: table tapis miroir lampe boîte vase panier horloge
    device: montre lampe armoire chaise table échelle téléphone ordinateur horloge guitare violon
        jouet poupée parapluie valise lit fauteuil
    tool: couteau fourchette échelle panier parapluie téléphone ordinateur lampe sac
        clé valise
    reachable: école église musée gare usine banque bibliothèque marché restaurant théâtre plage ferme
        hôpital
"""

CLASSIFYING = "red blue green white black yellow grey pink round wild public royal magic cooked ancient secret"
PHYSICAL = "deep light heavy narrow high fast slow cold hot short fresh sweet ripe fragile modern"
STATES = """
    sick tired sad happy furious worried rich poor jealous famous brave nervous lazy proud injured shy cautious"""
DELIBERATE = """
    acheter vendre manger boire préparer lire écrire traduire signer laver construire visiter réparer voler cacher
    suivre peindre dessiner nettoyer travailler marcher voyager chercher"""
